/*
 * maildir - keep messages in a Maildir so that none is lost.
 *
 * A message is written below tmp/, synced to the disk, renamed into new/, and
 * new/ is synced: only then does it count as delivered. A message that is not
 * committed leaves nothing behind. After a crash a file may be left in tmp/;
 * it is not a message, and nobody was told that it was.
 */
#ifndef PROXY_MAILDIR_H
#define PROXY_MAILDIR_H

#include <stddef.h>

struct maildir;
struct maildir_file;

/*
 * Open dir, making it and its tmp, new and cur where they are missing.
 * hostname becomes a part of the file names and is copied. NULL with errno.
 */
struct maildir *maildir_open(const char *dir, const char *hostname);
/* Frees it and leaves NULL; NULL is fine. Its files are gone before. */
void maildir_close(struct maildir **m);

/* Start a message. NULL with errno when there is no room, no permission, … */
struct maildir_file *maildir_begin(struct maildir *m);
/* Its queue id: the file name without the host. Valid while the file is. */
const char *maildir_id(const struct maildir_file *f);
/* Append. An error is kept and reported by maildir_commit(). */
void maildir_write(struct maildir_file *f, const void *p, size_t len);

/*
 * Deliver. 0: the message is on the disk and in new/. -1 with errno: it is
 * nowhere. Frees the file and leaves NULL either way.
 */
int maildir_commit(struct maildir_file **f);
/* Throw the message away. Leaves NULL; NULL is fine. */
void maildir_abort(struct maildir_file **f);

#endif
