/* Datetime values of documents. */
#include "base/core/datetime.h"
#include "server/ingest/docs.h"
#include "storage/json_in.h"

#include <math.h>

/* [Tue, ]25 Jul 2023 10:00:00 (+0000|GMT) */
static bool rfc2822(struct str s, int64_t *ns)
{
    size_t comma = str_chr(s, ',');
    if (comma < s.n) s = str_trim(str_sub(s, comma + 1, s.n));
    if (str_ends(s, STR(" GMT")) || str_ends(s, STR(" UTC"))) {
        s.n -= 4;
        return datetime_parse_strptime(s, STR("%d %b %Y %H:%M:%S"), ns);
    }
    return datetime_parse_strptime(s, STR("%d %b %Y %H:%M:%S %z"), ns);
}

static bool unix_time(const struct json_val *v, int64_t *ns)
{
    int64_t i;
    if (v->type == JSON_STR ? !str_to_i64(v->str, &i) : !json_is_num(v)) return false;
    if (v->type == JSON_STR || json_to_i64(v, &i)) {
        *ns = datetime_from_number(i);
        return true;
    }
    double seconds = json_num(v);
    if (!(fabs(seconds) < 9.2e9)) return false;
    double whole = floor(seconds);
    *ns = (int64_t)whole * NS_PER_S + (int64_t)llround((seconds - whole) * 1e9);
    return true;
}

err_t doc_time(const struct json_val *v, const struct doc_field *f, int64_t *ns)
{
    unsigned formats = f ? f->time_formats : 0;
    uint32_t npatterns = f ? f->ntime_patterns : 0;
    if (formats == 0 && npatterns == 0) formats = DOC_TIME_RFC3339 | DOC_TIME_UNIX;
    if (v->type == JSON_STR) {
        struct str s = str_trim(v->str);
        if ((formats & DOC_TIME_RFC3339) && datetime_parse(s, ns)) return OK;
        if ((formats & DOC_TIME_RFC2822) && rfc2822(s, ns)) return OK;
        for (uint32_t i = 0; i < npatterns; i++)
            if (datetime_parse_strptime(s, f->time_patterns[i], ns)) return OK;
    }
    if ((formats & DOC_TIME_UNIX) && unix_time(v, ns)) return OK;
    return err_set(ERR_INVALID, "no datetime in the field's input formats");
}
