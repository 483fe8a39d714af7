/* What makes traffic between nodes secret, by the node's settings: keys of gossip (cluster.keys, cluster.keys_file) and certificates of calls
 * (cluster.tls_*). Files are read by threads of the offload pool.
 *
 * A file of keys has one a line, or several with commas between; empty lines and those that begin with # do not count. It is at most
 * KEYS_FILE_MAX bytes and holds at least one key: an empty one is an error, or a mistake would make gossip plain. While a node runs the file is
 * read every KEYS_FILE_MS and on SIGHUP. One that cannot be used changes nothing: the keys before stay in force, the log says why (once, until
 * the reason is another one), and tercet_gossip_keys_file_refused_total counts.
 *
 * Certificates are read at the start alone. */
#ifndef SERVER_KEY_FILES_H
#define SERVER_KEY_FILES_H

#include "base/core/config.h"
#include "cluster/cluster.h"
#include "cluster/swim_wire.h"

enum { KEYS_FILE_MAX = 3072, KEYS_FILE_MS = 5000 };

struct key_files_found {
    struct swim_keys keys;
    struct tls *tls; /* the caller's, tls_free; NULL: no certificate is set */
};
/* ERR_INVALID names the setting, the file, and what is wrong with it. */
MUST_CHECK err_t key_files_find(const struct config *c, struct key_files_found *out) MAY_YIELD;
/* Wipes the keys; not the certificates. */
void key_files_forget(struct key_files_found *f);
/* The same finding, for who has no reactor: blocks. */
MUST_CHECK err_t key_files_check(const struct config *c);

/* Follows cluster.keys_file until key_files_unwatch, which comes before cluster_close. *out = NULL where no file is set. Core 0. */
struct key_files;
MUST_CHECK err_t key_files_watch(const struct config *c, struct cluster *cluster, struct key_files **out) MAY_YIELD;
/* Reads it now; from callbacks, too. */
void key_files_again(struct key_files *k);
void key_files_unwatch(struct key_files *k) MAY_YIELD;

#endif
