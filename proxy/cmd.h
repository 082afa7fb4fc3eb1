/*
 * cmd - the verbs of the program, each in its own cmd_*.c.
 *
 * argv[0] is the verb; the options follow. The result is the exit status: 0
 * good, 1 it failed while it ran, 2 wrong usage or a wrong configuration.
 */
#ifndef PROXY_CMD_H
#define PROXY_CMD_H

int cmd_serve(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_milter(int argc, char **argv);
int cmd_sink(int argc, char **argv);
int cmd_table(int argc, char **argv);
int cmd_rules(int argc, char **argv);

#endif
