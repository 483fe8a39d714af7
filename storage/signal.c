#include "storage/signal.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

err_t tenant_check(struct str t)
{
    static const char special[] = "!-_.*'()";
    if (t.n == 0) return err_set(ERR_INVALID, "tenant id is empty");
    if (t.n > TENANT_MAX) return err_set(ERR_INVALID, "tenant id has %zu characters, at most %d", t.n, TENANT_MAX);
    if (str_is(t, ".") || str_is(t, "..")) return err_set(ERR_INVALID, "tenant id is '.' or '..'");
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == 0 || !memchr(special, c, sizeof special - 1)))
            return err_set(ERR_INVALID, "tenant id has the unsupported character 0x%02x at offset %zu",
                           (unsigned)(unsigned char)c, i);
    }
    return OK;
}

uint32_t partition_of(struct str tenant, uint64_t key_hash, uint32_t partitions)
{
    ASSERT(partitions > 0 && (partitions & (partitions - 1)) == 0);
    return (uint32_t)hash_u64(hash64(tenant) + key_hash) & (partitions - 1);
}
