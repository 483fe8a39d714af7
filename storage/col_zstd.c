#include "base/core/assert.h"
#include "storage/col_codec.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

struct contexts {
    ZSTD_CCtx *c;
    ZSTD_DCtx *d;
};
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Beside the key: the main thread's destructor never runs. */
static _Thread_local struct contexts *mine;

static void contexts_free(void *p)
{
    struct contexts *x = p;
    ZSTD_freeCCtx(x->c);
    ZSTD_freeDCtx(x->d);
    free(x);
}

static void make_key(void) { ASSERT(pthread_key_create(&key, contexts_free) == 0); }

static struct contexts *contexts(void)
{
    if (mine) return mine;
    pthread_once(&once, make_key);
    mine = malloc(sizeof *mine);
    ASSERT(mine);
    *mine = (struct contexts){ ZSTD_createCCtx(), ZSTD_createDCtx() };
    ASSERT(mine->c && mine->d);
    pthread_setspecific(key, mine);
    return mine;
}

bool col_zstd_pack(struct str raw, int level, struct buf *out)
{
    if (raw.n < 32) return false;
    size_t room = ZSTD_compressBound(raw.n);
    char *to = buf_reserve(out, room);
    if (!to) return false;
    size_t n = ZSTD_compressCCtx(contexts()->c, to, room, raw.p, raw.n, level);
    if (ZSTD_isError(n) || n >= raw.n) return false;
    out->n += n;
    return true;
}

err_t col_zstd_unpack(struct str packed, char *to, size_t raw_size)
{
    size_t n = ZSTD_decompressDCtx(contexts()->d, to, raw_size, packed.p, packed.n);
    if (ZSTD_isError(n)) return err_set(ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(n));
    if (n != raw_size) return err_set(ERR_CORRUPT, "zstd: %zu bytes where %zu were declared", n, raw_size);
    return OK;
}
