#include "storage/object_xml.h"

#include <expat.h>

struct walk {
    XML_Parser parser;
    struct arena *a;
    struct object_answer *out;
    struct object_item item;  /* that is being read */
    size_t depth;
    bool in_item;             /* inside <Contents> or <Upload> */
    size_t item_depth;
    char text[OBJECT_XML_TEXT];
    size_t ntext;
    const char *wrong;        /* why it was stopped */
};

static void stop(struct walk *w, const char *why)
{
    if (!w->wrong) w->wrong = why;
    XML_StopParser(w->parser, XML_FALSE);
}

/* Without the namespace's prefix, which some write and most do not. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static void on_start(void *ctx, const char *qualified, const char **attributes)
{
    struct walk *w = ctx;
    const char *name = local_name(qualified);
    (void)attributes;
    if (w->depth == OBJECT_XML_DEPTH) {
        stop(w, "nested too deep");
        return;
    }
    if (w->depth++ == 0) w->out->root = arena_str(w->a, str_of(name));
    w->ntext = 0;
    if (w->in_item || (strcmp(name, "Contents") != 0 && strcmp(name, "Upload") != 0)) return;
    w->in_item = true;
    w->item_depth = w->depth;
    w->item = (struct object_item){ 0 };
}

static void on_text(void *ctx, const char *p, int n)
{
    struct walk *w = ctx;
    if ((size_t)n > sizeof w->text - w->ntext) {
        stop(w, "an element's text is too long");
        return;
    }
    memcpy(w->text + w->ntext, p, (size_t)n);
    w->ntext += (size_t)n;
}

static void end_item(struct walk *w)
{
    struct object_page *page = &w->out->page;
    w->in_item = false;
    if (!w->item.name.p) {
        stop(w, "an item of a list has no name");
    } else if (page->n == OBJECT_LIST_MAX) {
        stop(w, "a list is too long");
    } else {
        if (!page->items) page->items = ARENA_ARRAY(w->a, struct object_item, OBJECT_LIST_MAX);
        page->items[page->n++] = w->item;
    }
}

static void text_of_item(struct walk *w, const char *name, struct str text)
{
    if (strcmp(name, "Key") == 0)
        w->item.name = arena_str(w->a, text);
    else if (strcmp(name, "UploadId") == 0)
        w->item.id = arena_str(w->a, text);
    else if (strcmp(name, "Size") == 0 && !str_to_u64(text, &w->item.size))
        stop(w, "a size is no number");
}

static void text_of_answer(struct walk *w, const char *name, struct str text)
{
    struct object_answer *out = w->out;
    struct { const char *name; struct str *to; } const fields[] = {
        { "Code", &out->code }, { "Message", &out->message }, { "Region", &out->region }, { "UploadId", &out->upload_id },
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(name, fields[i].name) == 0) *fields[i].to = arena_str(w->a, text);
    if (strcmp(name, "IsTruncated") == 0) out->page.more = str_is(str_trim(text), "true");
}

static void on_end(void *ctx, const char *qualified)
{
    struct walk *w = ctx;
    const char *name = local_name(qualified);
    struct str text = { w->text, w->ntext };
    if (w->in_item && w->depth == w->item_depth)
        end_item(w);
    else if (w->in_item && w->depth == w->item_depth + 1)
        text_of_item(w, name, text);
    else if (!w->in_item && w->depth == 2)
        text_of_answer(w, name, text);
    w->depth--;
    w->ntext = 0;
}

static void on_doctype(void *ctx, const char *name, const char *system, const char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(ctx, "it has a document type");
}

err_t object_xml_parse(struct str xml, struct arena *a, struct object_answer *out)
{
    struct walk *w = ARENA_NEW(a, struct walk);
    w->a = a;
    w->out = out;
    *out = (struct object_answer){ 0 };
    if (xml.n > OBJECT_XML_MAX) return err_set(ERR_CORRUPT, "the bucket's answer has %zu bytes, at most %d", xml.n, OBJECT_XML_MAX);
    w->parser = XML_ParserCreate("UTF-8");
    if (!w->parser) return err_set(ERR_INTERNAL, "XML parser");
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
    err_t e = OK;
    if (XML_Parse(w->parser, xml.p ? xml.p : "", (int)xml.n, 1) != XML_STATUS_OK)
        e = err_set(ERR_CORRUPT, "the bucket's answer is not what S3 answers: line %lu: %s", XML_GetCurrentLineNumber(w->parser),
                    w->wrong ? w->wrong : XML_ErrorString(XML_GetErrorCode(w->parser)));
    XML_ParserFree(w->parser);
    return e;
}
