/* What a bucket's server may answer, a file of keys, a catalog object whose checksum is right: the first byte chooses. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/object_catalog.h"
#include "storage/object_xml.h"
#include "storage/s3_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void catalog(struct str text)
{
    struct buf bytes;
    struct arena a;
    struct object_catalog c;
    hash128 check = hash128_of(text);
    arena_init(&a, NULL);
    buf_init(&bytes, 1 << 24, NULL);
    buf_str(&bytes, text);
    buf_put(&bytes, &check, sizeof check);
    err_t e = object_catalog_decode(buf_view(&bytes), &a, &c);
    ASSERT(e == OK || e == ERR_CORRUPT);
    for (size_t i = 0; e == OK && i < c.n; i++)
        ASSERT(c.items[i].key.p + c.items[i].key.n <= bytes.p + bytes.n && c.items[i].value.p + c.items[i].value.n <= bytes.p + bytes.n);
    buf_deinit(&bytes);
    arena_deinit(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct s3_keys keys;
    if (size == 0) return 0;
    struct str text = str_n(data + 1, size - 1);
    if (data[0] == 'c') {
        catalog(text);
        return 0;
    }
    if (data[0] == 'k') {
        err_t e = s3_keys_parse(text, STR("default"), &keys);
        ASSERT(e == OK || e == ERR_INVALID);
        if (e == OK) ASSERT(strlen(keys.access) < sizeof keys.access && strlen(keys.secret) > 0);
        return 0;
    }
    struct arena a;
    struct object_answer answer;
    arena_init(&a, NULL);
    err_t e = object_xml_parse(text, &a, &answer);
    ASSERT(e == OK || e == ERR_CORRUPT);
    ASSERT(answer.page.n <= OBJECT_LIST_MAX);
    for (size_t i = 0; e == OK && i < answer.page.n; i++)
        ASSERT(answer.page.items[i].name.p != NULL);
    arena_deinit(&a);
    return 0;
}
