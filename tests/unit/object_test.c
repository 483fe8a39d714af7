/* What a bucket answers, and where keys come from: bytes of strangers. */
#include "storage/object_catalog.h"
#include "storage/object_xml.h"
#include "storage/s3_http.h"
#include "storage/s3_keys.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena a;
static struct object_answer answer;

static void fresh(void)
{
    arena_init(&a, NULL);
}
static void gone(void)
{
    arena_deinit(&a);
}

TestSuite(object, .init = fresh, .fini = gone);

Test(object, lists)
{
    static const char xml[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>p/</Prefix>"
        "<IsTruncated>true</IsTruncated>"
        "<Contents><Key>p/a&amp;b</Key><Size>12</Size><ETag>&quot;e&quot;</ETag><Owner><ID>1</ID><Key>not this</Key></Owner></Contents>"
        "<Contents><Key>p/c</Key><Size>18446744073709551615</Size></Contents>"
        "<CommonPrefixes><Prefix>x</Prefix></CommonPrefixes></ListBucketResult>";
    cr_assert_eq(object_xml_parse(STR(xml), &a, &answer), OK, "%s", err_detail());
    cr_assert(str_is(answer.root, "ListBucketResult") && answer.page.more);
    cr_assert_eq(answer.page.n, 2);
    cr_assert(str_is(answer.page.items[0].name, "p/a&b") && answer.page.items[0].size == 12);
    cr_assert(str_is(answer.page.items[1].name, "p/c") && answer.page.items[1].size == UINT64_MAX);
}

Test(object, uploads_errors_and_prefixed_names)
{
    cr_assert_eq(object_xml_parse(STR("<s:ListMultipartUploadsResult xmlns:s='x'><s:Upload><s:Key>k</s:Key><s:UploadId>u1</s:UploadId>"
                                      "</s:Upload></s:ListMultipartUploadsResult>"), &a, &answer), OK);
    cr_assert(str_is(answer.root, "ListMultipartUploadsResult") && !answer.page.more);
    cr_assert(answer.page.n == 1 && str_is(answer.page.items[0].id, "u1") && str_is(answer.page.items[0].name, "k"));
    cr_assert_eq(object_xml_parse(STR("<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"),
                                  &a, &answer), OK);
    cr_assert(str_is(answer.upload_id, "id-1"));
    cr_assert_eq(object_xml_parse(STR("<Error><Code>SlowDown</Code><Message>Please &lt;wait&gt;</Message><Region>eu-1</Region></Error>"), &a,
                                  &answer), OK);
    cr_assert(str_is(answer.root, "Error") && str_is(answer.code, "SlowDown") && str_is(answer.message, "Please <wait>")
              && str_is(answer.region, "eu-1"));
}

Test(object, hostile_answers_are_corrupt)
{
    static const char *const bad[] = {
        "", " ", "x", "<a>", "<a></b>", "<a/><b/>", "<a>&b;</a>", "\xef\xbb\xbf", "<a>\xff</a>", "<a b='1' b='2'/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY b 'cccc'><!ENTITY d '&b;&b;&b;'>]><a>&d;</a>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<a><b><c><d><e><f><g><h><i><j><k><l><m><n><o><p><q><r/></q></p></o></n></m></l></k></j></i></h></g></f></e></d></c></b></a>",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(object_xml_parse(str_of(bad[i]), &a, &answer), ERR_CORRUPT, "%s", bad[i]);
}

static err_t many(const char *open, const char *each, const char *close, size_t n)
{
    struct buf b;
    buf_init(&b, (size_t)OBJECT_XML_MAX * 2, NULL);
    buf_z(&b, open);
    for (size_t i = 0; i < n; i++)
        buf_z(&b, each);
    buf_z(&b, close);
    err_t e = object_xml_parse(buf_view(&b), &a, &answer);
    buf_deinit(&b);
    return e;
}

Test(object, limits)
{
    cr_assert_eq(many("<a><b>", "x", "</b></a>", OBJECT_XML_TEXT), OK);
    cr_assert_eq(many("<a><b>", "x", "</b></a>", OBJECT_XML_TEXT + 1), ERR_CORRUPT);
    cr_assert_eq(many("<ListBucketResult>", "<Contents><Key>k</Key></Contents>", "</ListBucketResult>", OBJECT_LIST_MAX), OK);
    cr_assert_eq(answer.page.n, OBJECT_LIST_MAX);
    cr_assert_eq(many("<ListBucketResult>", "<Contents><Key>k</Key></Contents>", "</ListBucketResult>", OBJECT_LIST_MAX + 1), ERR_CORRUPT);
    cr_assert_eq(many("<a>", "<b/>", "</a>", OBJECT_XML_MAX / 4), ERR_CORRUPT);
    cr_assert(strstr(err_detail(), "at most"));
}

Test(object, names)
{
    static const char *const good[] = { "", "a", "seg/0a.seg", "A-b_c.d/e" }, *const bad[] = { "/a", "a//b", "..", "a/../b", "a b", "a\n", "ä", ".a", "a?b" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        cr_assert(object_name_valid(str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert(!object_name_valid(str_of(bad[i])), "%s", bad[i]);
    char longest[OBJECT_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    cr_assert(object_name_valid(str_n(longest, OBJECT_NAME_MAX)) && !object_name_valid(str_n(longest, OBJECT_NAME_MAX + 1)));
}

Test(object, encodes_as_signatures_want_it)
{
    struct buf b;
    buf_init(&b, 100, NULL);
    s3_encode(&b, STR("a/b c~-_.\xc3\xa4+=&"));
    cr_assert(str_is(buf_view(&b), "a%2Fb%20c~-_.%C3%A4%2B%3D%26"));
    buf_deinit(&b);
}

static struct s3_keys keys;

Test(object, keys_of_a_profile)
{
    static const char file[] = "\xef\xbb\xbf# a comment\r\n[default]\r\naws_access_key_id = A\r\naws_secret_access_key=s=/+ \r\n; x\r\n"
                               "[ two ]\naws_secret_access_key = S2\naws_session_token = T2\nregion = x\naws_access_key_id = A2";
    cr_assert_eq(s3_keys_parse(STR(file), STR("default"), &keys), OK, "%s", err_detail());
    cr_assert_str_eq(keys.access, "A");
    cr_assert_str_eq(keys.secret, "s=/+");
    cr_assert_str_eq(keys.token, "");
    cr_assert_eq(s3_keys_parse(STR(file), STR("two"), &keys), OK);
    cr_assert_str_eq(keys.access, "A2");
    cr_assert_str_eq(keys.token, "T2");
    cr_assert_eq(s3_keys_parse(STR(file), STR("three"), &keys), ERR_INVALID);
    cr_assert_eq(s3_keys_parse(STR("[default]\naws_access_key_id = A\n"), STR("default"), &keys), ERR_INVALID);
    cr_assert_eq(s3_keys_parse(STR("[default\naws_access_key_id"), STR("default"), &keys), ERR_INVALID);
}

Test(object, keys_that_do_not_fit_are_refused_and_not_shown)
{
    char file[2 * S3_KEY_MAX + 100] = "[default]\naws_access_key_id = ";
    memset(file + strlen(file), 'k', S3_KEY_MAX);
    cr_assert_eq(s3_keys_parse(str_of(file), STR("default"), &keys), ERR_INVALID);
    cr_assert(strstr(err_detail(), "at most") && !strstr(err_detail(), "kkk"));
}

Test(object, catalog_objects)
{
    struct kv_item items[] = { { STR("_store/seg/1"), STR("value") }, { STR("index/a/b"), STR("") }, { STR("k"), STR("\0\1\2") } };
    struct object_catalog c = { .owner = { 1, 2 }, .nonce = { 3, 4 }, .epoch = 5, .sealed = 6, .wall_ms = -7, .items = items, .n = 3 }, back;
    struct buf b;
    buf_init(&b, 1000, NULL);
    object_catalog_encode(&c, &b);
    cr_assert_eq(object_catalog_decode(buf_view(&b), &a, &back), OK, "%s", err_detail());
    cr_assert(hash128_eq(back.owner, c.owner) && hash128_eq(back.nonce, c.nonce) && back.epoch == 5 && back.sealed == 6 && back.wall_ms == -7);
    cr_assert_eq(back.n, 3);
    for (size_t i = 0; i < 3; i++)
        cr_assert(str_eq(back.items[i].key, items[i].key) && str_eq(back.items[i].value, items[i].value));
    for (size_t n = 0; n < b.n; n++) {
        char *cut = malloc(n + 1); /* of exactly that size: ASan sees a step too far */
        memcpy(cut, b.p, n);
        cr_assert_eq(object_catalog_decode(str_n(cut, n), &a, &back), ERR_CORRUPT, "%zu bytes", n);
        free(cut);
    }
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        cr_assert_eq(object_catalog_decode(buf_view(&b), &a, &back), ERR_CORRUPT, "byte %zu", i);
        b.p[i] ^= 1;
    }
    buf_deinit(&b);
}
