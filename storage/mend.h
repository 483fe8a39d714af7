/* What is lost here (lost.h) comes anew from another node that has it.
 *
 *   by file    A segment whose very file another node has, since one of the two got the stream from the other or both from a third
 *              (stream_copy.h): the file is fetched, verified by its name and all its checksums, put in the place of the rotten one, and opened
 *              anew by all cores with the marks of dead rows that it had here (mend_file). Its rows are those that the catalog says.
 *   by stream  Any other segment: nodes seal and merge for themselves, so that no two have the same requests in the files of one time, and a row does
 *              not say which request it came with. What a lost file covered cannot be told apart from what lies beside it: the whole
 *              stream comes anew (stream_copy.h), at the rate that copies have. The list replaces the lost segments with all others.
 *
 * While something of a stream is lost here other holders of it are read (cluster/read_plan.h), and none of it is given to others. */
#ifndef STORAGE_MEND_H
#define STORAGE_MEND_H

#include "storage/seg.h"

struct store;
/* Streams of which something is lost, ascending, into the arena. Any core. */
void mend_streams(struct store *s, struct arena *a, uint64_t **ids, uint32_t *n);
bool mend_wants(struct store *s, uint64_t stream); /* is one of them */
bool mend_wants_file(struct store *s, const struct seg_info *i);
/* What of a stream is lost, into the arena: some of it, when it is much. Any core. */
void mend_files(struct store *s, uint64_t stream, struct arena *a, struct seg_info **out, uint32_t *n);
/* The file was published anew (stream_file_end): every core opens it in the place of what it has. On core 0. ERR_NOT_FOUND: it was
 * replaced meanwhile, and is not wanted any more. */
MUST_CHECK err_t mend_file(struct store *s, const struct seg_info *i) MAY_YIELD;

#endif
