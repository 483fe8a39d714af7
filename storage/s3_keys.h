/* Who we are to a bucket: an access key, its secret, perhaps a session's token. From the settings; or else from the environment
 * (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN); or else from a file as the AWS tools keep it ("[profile]",
 * "aws_access_key_id = ..."), which is read again when it has changed, so that keys can be replaced while the node runs.
 * Secrets are never part of a message. */
#ifndef STORAGE_S3_KEYS_H
#define STORAGE_S3_KEYS_H

#include "base/core/err.h"
#include "base/core/str.h"

enum { S3_KEY_MAX = 256, S3_SECRET_MAX = 1024, S3_TOKEN_MAX = 4096, S3_KEYS_FILE_MAX = 1 << 20 };
struct s3_keys {
    char access[S3_KEY_MAX], secret[S3_SECRET_MAX], token[S3_TOKEN_MAX];
};
/* Pure: the keys of a profile in the text of a file. ERR_INVALID when it has none, or what is there is too long. */
MUST_CHECK err_t s3_keys_parse(struct str text, struct str profile, struct s3_keys *out);

struct s3_key_source;
struct s3_opts;
MUST_CHECK err_t s3_key_source_new(const struct s3_opts *o, struct s3_key_source **out); /* blocks on the file */
void s3_key_source_free(struct s3_key_source *s);
/* The keys as they are now. From any thread; looks at the file at most every S3_KEYS_LOOK_S. A file that became unreadable
 * leaves the keys as they were. */
enum { S3_KEYS_LOOK_S = 5 };
void s3_keys_now(struct s3_key_source *s, struct s3_keys *out);

#endif
