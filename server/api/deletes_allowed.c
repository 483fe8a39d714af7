#include "server/api/deletes_allowed.h"

err_t deletes_allowed(const struct config *c, bool *allowed)
{
    struct str mode = str_of(config_text(c, CFG_API_DELETES)), bind = str_of(config_text(c, CFG_LISTEN_BIND));
    *allowed = str_is(mode, "on");
    if (*allowed || str_is(mode, "off")) return OK;
    if (!str_is(mode, "auto")) return err_set(ERR_INVALID, "api.deletes: '" STR_FMT "' is none of auto, on, off", STR_ARG(mode));
    *allowed = str_starts(bind, STR("127.")) || str_is(bind, "::1") || str_is(bind, "localhost");
    return OK;
}

err_t deletes_check(bool allowed)
{
    if (allowed) return OK;
    return err_set(ERR_FORBIDDEN, "requests may not delete data on this node: it listens for others and knows no users; the setting api.deletes=on allows it");
}

err_t all_tenants_check(bool allowed)
{
    if (allowed) return OK;
    return err_set(ERR_FORBIDDEN, "what other tenants have is not told by this node: it listens for others and knows no users; the setting api.deletes=on allows it");
}
