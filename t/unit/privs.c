/* What a worker gives up, and that it cannot have it back. */

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/privs.h"
#include "tap.h"

static const struct passwd *nobody;

/* Run check in a child; its exit status. */
static int
in_child(int (*check)(const char *user), const char *user)
{
	pid_t pid;
	int status;

	fflush(stdout);
	if ((pid = fork()) == 0)
		_exit(check(user));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 0, or the number of what is wrong. */
static int
become(const char *user)
{
	gid_t groups[64];
	char *why = NULL;
	int n;

	if (privs_drop(user, &why) != 0) {
		free(why);
		return 1;
	}
	if (getuid() != nobody->pw_uid || geteuid() != nobody->pw_uid)
		return 2;
	if (getgid() != nobody->pw_gid || getegid() != nobody->pw_gid)
		return 3;
	n = getgroups(64, groups);
	while (n-- > 0)
		if (groups[n] == 0)
			return 4;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 5;
	if (prctl(PR_GET_DUMPABLE) != 0)
		return 6;
	return 0;
}

static int
keep(const char *user)
{
	uid_t uid = getuid();
	char *why = NULL;

	return privs_drop(user, &why) != 0 || getuid() != uid;
}

/* Somebody who is not root cannot become another user, but stays himself. */
static int
from_nobody(const char *user)
{
	char *why = NULL;

	if (setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0)
		return 9;
	if (privs_drop(user, &why) != 0) {
		free(why);
		return 1;
	}
	return 0;
}

static void
test_drop(void)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", (unsigned)nobody->pw_uid);
	is_int(in_child(keep, NULL), 0, "no user: nothing changes");
	is_int(in_child(become, "no-such-user"), 1, "nobody has that name");
	is_int(in_child(become, ""), 1, "an empty name");
	is_int(in_child(become, "4294967295"), 1, "the number for none");
	is_int(in_child(become, "4294967296"), 1, "a number that is 0 again");
	is_int(in_child(become, "1x"), 1, "no number");
	if (geteuid() != 0)
		return;
	is_int(in_child(become, nobody->pw_name), 0, "a name");
	is_int(in_child(become, number), 0, "a number");
	is_int(in_child(from_nobody, nobody->pw_name), 0, "the same user");
	is_int(in_child(from_nobody, "root"), 1, "not upwards");
	is_int(in_child(from_nobody, "daemon"), 1, "not sidewards");
}

static uid_t
owner(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_uid : (uid_t)-1;
}

static void
test_give_file(void)
{
	char dir[] = "/tmp/vratar-privs-XXXXXX";
	char log[64], link1[64], link2[64];

	if (geteuid() != 0 || mkdtemp(dir) == NULL)
		return;
	snprintf(log, sizeof(log), "%s/log", dir);
	snprintf(link1, sizeof(link1), "%s/symbolic", dir);
	snprintf(link2, sizeof(link2), "%s/hard", dir);
	fclose(fopen(log, "w"));
	if (symlink(log, link1) != 0 || link(log, link2) != 0)
		abort();
	privs_give_file(nobody->pw_name, link1);
	is_int(owner(log), 0, "not through a symbolic link");
	privs_give_file(nobody->pw_name, link2);
	is_int(owner(log), 0, "not a file with two names");
	unlink(link2);
	privs_give_file("no-such-user", log);
	privs_give_file(NULL, log);
	is_int(owner(log), 0, "not to nobody in particular");
	privs_give_file(nobody->pw_name, log);
	is_int(owner(log), nobody->pw_uid, "a log");
	privs_give_file(nobody->pw_name, "/nowhere/at/all");
	privs_give_file(nobody->pw_name, dir);
	is_int(owner(dir), 0, "not a directory");
	unlink(link1);
	unlink(log);
	rmdir(dir);
}

static void
test_limits(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &r);
	privs_raise_limits();
	getrlimit(RLIMIT_NOFILE, &r);
	is_int((long long)r.rlim_cur, (long long)r.rlim_max, "open files");
}

int
main(void)
{
	struct passwd *pw = getpwnam("nobody");
	struct passwd copy;

	if (pw == NULL)
		return 1;
	copy = *pw;
	copy.pw_name = strdup(pw->pw_name);
	nobody = &copy;
	test_drop();
	test_give_file();
	test_limits();
	is_int(privs_keeps_root(NULL), geteuid() == 0, "root and no user set");
	ok(!privs_keeps_root("nobody"), "a user is set");
	free(copy.pw_name);
	return tap_done();
}
