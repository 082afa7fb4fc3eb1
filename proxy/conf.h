/*
 * conf - the configuration: read, checked, and then never changed.
 *
 * The file has libconfuse syntax; the rows of conf.def say for each setting its
 * type, default, limits and the sentence for the manual. All mistakes are
 * reported in one run, each as "FILE:LINE: what is wrong (what would be
 * right)". The master reads it as root: keys are loaded, tables are read, host
 * names are resolved here, and workers inherit the result. There are no
 * configuration globals; a reload makes a new conf for new workers.
 *
 * Sizes are octets, times are milliseconds.
 */
#ifndef PROXY_CONF_H
#define PROXY_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <openssl/ssl.h>

#include "base/net.h"
#include "base/setting.h"
#include "filters/chain.h"
#include "proxy/tls.h"
#include "smtp/address.h"

struct table;

enum conf_starttls { STARTTLS_OFF, STARTTLS_OPTIONAL, STARTTLS_REQUIRED };
enum conf_identity {
	IDENTITY_AUTO,		/* XCLIENT, or fail closed */
	IDENTITY_XCLIENT, IDENTITY_XFORWARD, IDENTITY_PROXY_V1,
	IDENTITY_PROXY_V2, IDENTITY_NONE
};
enum conf_open { OPEN_RCPT, OPEN_MAIL, OPEN_CONNECT };
enum conf_tls { TLS_OFF, TLS_MAY, TLS_ENCRYPT, TLS_VERIFY };
enum conf_line_endings { LINES_REJECT, LINES_NORMALIZE };
enum conf_nul { NUL_REJECT, NUL_ACCEPT };

struct conf_listener {
	char			*name;		/* the title: "0.0.0.0:25" */
	struct where		 where;		/* WHERE_TCP or WHERE_UNIX */
	bool			 tls_implicit;
	enum conf_starttls	 starttls;
	char			*tls_certificate, *tls_key;
	SSL_CTX			*tls;		/* NULL: no certificate */
	enum tls_ask		 ask_certificate;
	char			*tls_client_ca;	/* NULL: none */
	struct netset		 accept_proxy_from, accept_xclient_from;
	struct setting_list	 chain;		/* names of filters */
	struct chain_conf	 filters;	/* the same */
};

struct conf_backend {
	char			*name;
	struct conf_backend_address {
		struct where	 where;
		struct netaddr	*addrs;		/* resolved; WHERE_TCP */
		int		 naddrs;
	}			*addresses;	/* failover in order */
	size_t			 naddresses;
	enum conf_identity	 identity;
	enum conf_open		 open;
	int			 max_sessions;	/* of all workers; 0: any */
	enum conf_tls		 tls;
	char			*tls_ca_file;	/* NULL: the system's */
	SSL_CTX			*tls_ctx;	/* NULL when tls is off */
	bool			 chunking;	/* use BDAT if offered */
};

struct conf_route {
	char			*domain;	/* lower case; "*" the rest */
	size_t			 backend;	/* index */
};

struct conf {
	char			*hostname;
	char			*user;		/* NULL: keep ours */
	int			 workers;	/* at least 1 */
	char			*control_socket; /* NULL: none */
	char			*log;		/* for log_open() */
	bool			 log_json;
	bool			 log_debug;

	/* who may send what to whom */
	bool			 relay_any;	/* relay-domains has "*" */
	bool			 relay_set;	/* relay-domains is given */
	struct setting_list	 relay_domains;	/* lower case, without "*";
						   ".d" matches subdomains */
	char			*recipients_spec; /* as written, or NULL */
	struct table		*recipients;	/* NULL: any */
	char			*recipient_delimiter; /* "" */

	/* RFC 5321 4.5.3.1 */
	struct address_limits	 address;
	size_t			 command_line_limit;	/* 512 */
	size_t			 text_line_limit;	/* 1000, with CR LF */
	uint64_t		 message_size_limit;	/* 50 MiB */
	size_t			 recipient_limit;	/* 100 */

	/* RFC 5321 4.5.3.2: the client's side (.7), the backend's (.1 to .6) */
	uint64_t		 client_timeout;	/* 5 min */
	uint64_t		 connect_timeout;	/* 30 s */
	uint64_t		 greeting_timeout;	/* 5 min */
	uint64_t		 mail_timeout;		/* 5 min */
	uint64_t		 rcpt_timeout;		/* 5 min */
	uint64_t		 data_init_timeout;	/* 2 min */
	uint64_t		 data_block_timeout;	/* 3 min */
	uint64_t		 data_done_timeout;	/* 10 min */

	uint64_t		 min_data_rate;	/* octets a second; 0: any */
	uint64_t		 proxy_timeout;	/* PROXY header; 5 s */
	uint64_t		 drain_timeout;	/* SIGTERM; 30 s */
	uint64_t		 dns_timeout;	/* 5 s */
	struct setting_list	 dns_servers;
	uint64_t		 session_limit;	/* per worker */
	unsigned		 error_limit;	/* 20: 421 after so many */
	unsigned		 junk_command_limit; /* 100 between messages */

	enum conf_line_endings	 line_endings;
	struct netset		 normalize_from;	/* whatever the above */
	enum conf_nul		 nul;
	bool			 received;	/* add one of ours */
	unsigned		 hopcount_limit; /* 50; 0: any */
	char			*authserv_id;	/* NULL: see conf.def */
	char			*quarantine;	/* conf_quarantine_…() */
	bool			 rehearsal;	/* nothing is kept: vratar
						   test; no setting */
	bool			 auth_without_tls;
	bool			 lenient_paths;	/* "MAIL FROM: <a@b>" */
	char			*cache_directory;
	char			*spool_directory;
	size_t			 spool_memory;	/* per message, then a file */
	uint64_t		 hold_size;	/* larger ones are streamed */

	struct conf_listener	*listeners;
	size_t			 nlisteners;
	struct conf_backend	*backends;
	size_t			 nbackends;
	struct conf_route	*routes;
	size_t			 nroutes;
	struct setting_list	 load_module;	/* paths of shared objects */
	struct filter_conf	**filters;	/* all that are configured */
	size_t			 nfilters;
	uint64_t		 filter_budget;	/* ms */
	bool			 reply_id;	/* refusals end in the session's
						   id */
};

/* What the command line says over the file. conf_load() borrows the strings. */
struct conf_options {
	const char	 *file;		/* NULL: none */
	const char	**listen;	/* replace the file's listeners */
	size_t		  nlisten;
	const char	 *backend;	/* replaces the backends and routes */
	const char	 *identity;	/* of that backend, or of all */
	const char	 *policy;	/* replaces all filters and chains */
	const char	**set;		/* KEY=VALUE, any top-level setting */
	size_t		  nset;
	/* The chain is for an MTA that asks us here ("unix:PATH"): nobody else
	   connects to us, and we connect to no backend. What belongs to that
	   may be missing, and is not loaded. NULL: we are the proxy. */
	const char	 *milter;	/* not ours, unlike the others */
};

/* A flag that only one verb has: "--foreground". The last has no name. */
struct conf_flag {
	const char	 *name;
	bool		 *set;
};

/*
 * Fill *o from argv[1..argc) of the verb argv[0]. The file is the default one
 * (/etc/vratar/vratar.conf) unless -c, or both --listen and --backend, are
 * given. flags may be NULL. 0; 1 when --help was answered on stdout; -1 when
 * something was wrong, which was written to err. *o is ours to fini after 0,
 * and empty otherwise.
 */
int conf_getopt(struct conf_options *o, int argc, char **argv,
    const struct conf_flag *flags, FILE *err);
void conf_options_fini(struct conf_options *o);

/* There is --policy, and no configuration to go with it. */
bool conf_is_alone(const struct conf_options *o);
/* In place of a file: what a policy does not ask for, where it is not given:
   any domain, a backend that nobody should connect to. */
void conf_make_up(struct conf_options *o);

/*
 * Read, check, load. NULL when there is a mistake; every one of them was
 * written to err, one a line, options as "--set: …".
 */
struct conf *conf_load(const struct conf_options *o, FILE *err);
/* In a process that serves: each mistake is a line of the log, and the first of
   them is in first, for who has asked. */
struct conf *conf_load_again(const struct conf_options *o, char *first,
    size_t room);
/* Frees it and leaves NULL; NULL is fine. */
void conf_free(struct conf **c);

/* The backend for a recipient's domain (lower-case ASCII); -1: no route. */
int conf_route(const struct conf *c, const char *domain);
/* The index of the backend of this name, or -1. */
int conf_find_backend(const struct conf *c, const char *name);
/* Is this domain (lower-case ASCII) one of relay-domains, or is any? */
bool conf_relays(const struct conf *c, const char *domain);
/* Where messages are held back: the one, the other, or neither is not NULL. */
const char *conf_quarantine_dir(const struct conf *c);
const char *conf_quarantine_address(const struct conf *c);

#endif
