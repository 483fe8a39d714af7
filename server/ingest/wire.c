#include "server/ingest/wire.h"

static const char *type_name(uint32_t type)
{
    switch (type) {
    case WIRE_TYPE_VARINT: return "varint";
    case WIRE_TYPE_64: return "fixed64";
    case WIRE_TYPE_LEN: return "length-delimited";
    case WIRE_TYPE_32: return "fixed32";
    case 3:
    case 4: return "group";
    default: return "reserved";
    }
}

void wire_bad_detail(const struct wire *w, uint32_t tag)
{
    size_t at = (size_t)(w->p - w->base);
    uint32_t type = tag & 7;
    if (tag == 0)
        err_set(ERR_INVALID, "malformed protobuf at byte %zu: not a field tag or number", at);
    else if (type == 3 || type == 4 || type > 5)
        err_set(ERR_INVALID, "malformed protobuf at byte %zu: field %u has wire type %u (%s), which is refused", at,
                tag >> 3, type, type_name(type));
    else
        err_set(ERR_INVALID, "malformed protobuf at byte %zu: field %u (%s) runs past the end of its message", at,
                tag >> 3, type_name(type));
}

void wire_mistyped_detail(const struct wire *w, const struct wire_field *f, const char *message)
{
    err_set(ERR_INVALID, "malformed protobuf before byte %zu: field %u of %s must not be %s",
            (size_t)(w->p - w->base), f->tag >> 3, message, type_name(f->tag & 7));
}
