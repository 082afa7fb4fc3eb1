/*
 * privs - what a process may do: taken away from workers, for good.
 *
 * Not set here: PR_SET_NO_NEW_PRIVS. A backend "exec:sendmail -bs" runs a
 * set-group-id program to reach the queue, and would be broken by it.
 */

#include "proxy/privs.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

void
privs_raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		log_warn(0, "limit what=open-files problem=\"%s\"",
		    strerror(errno));
}

static const struct passwd *
find_user(const char *user)
{
	const struct passwd *pw = getpwnam(user);
	char *end;
	unsigned long uid;

	if (pw != NULL || user[0] < '0' || user[0] > '9')
		return pw;
	uid = strtoul(user, &end, 10);
	if (*end != '\0' || uid != (uid_t)uid || (uid_t)uid == (uid_t)-1)
		return NULL;
	return getpwuid((uid_t)uid);
}

static int
failed(char **why, const char *user, const char *what)
{
	*why = xasprintf("cannot become user %s: %s: %s", user, what,
	    strerror(errno));
	return -1;
}

/* It must be impossible to come back. */
static int
verify(const struct passwd *pw, char **why)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	if (getresuid(&r, &e, &s) != 0 || getresgid(&gr, &ge, &gs) != 0 ||
	    r != pw->pw_uid || e != r || s != r ||
	    gr != pw->pw_gid || ge != gr || gs != gr ||
	    (pw->pw_uid != 0 && setuid(0) == 0)) {
		*why = xasprintf("still more than user %s after setuid",
		    pw->pw_name);
		return -1;
	}
	return 0;
}

int
privs_drop(const char *user, char **why)
{
	const struct passwd *pw;

	if (user == NULL)
		return 0;
	if ((pw = find_user(user)) == NULL) {
		*why = xasprintf("user %s does not exist", user);
		return -1;
	}
	if (geteuid() == pw->pw_uid && getuid() == pw->pw_uid &&
	    geteuid() != 0)
		return 0;
	/* In this order: each step needs what the next one takes away. */
	if (initgroups(pw->pw_name, pw->pw_gid) != 0)
		return failed(why, user, "setgroups");
	if (setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0)
		return failed(why, user, "setgid");
	if (setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return failed(why, user, "setuid");
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return failed(why, user, "not dumpable");
	return verify(pw, why);
}

void
privs_give_file(const char *user, const char *path)
{
	const struct passwd *pw;
	struct stat st;
	int fd;

	if (user == NULL || geteuid() != 0 || (pw = find_user(user)) == NULL)
		return;
	/* The directory may be the user's: do not be led by links of either
	   kind to a file that is not a log. */
	fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    fchown(fd, pw->pw_uid, (gid_t)-1) != 0)
		log_warn(0, "log file=%s problem=\"%s\"", path,
		    strerror(errno));
	close(fd);
}

bool
privs_keeps_root(const char *user)
{
	return user == NULL && geteuid() == 0;
}
