/* The XML that S3 answers with, through expat: lists of objects and of uploads in parts, the id of a new upload, errors. The
 * bytes come from a network: at most OBJECT_XML_MAX of them, nested at most OBJECT_XML_DEPTH deep, a text of an element at
 * most OBJECT_XML_TEXT, no document type (so no entities of its own), at most OBJECT_LIST_MAX items. Anything else is
 * ERR_CORRUPT. Elements that are not asked for are passed over. */
#ifndef STORAGE_OBJECT_XML_H
#define STORAGE_OBJECT_XML_H

#include "storage/object.h"

enum { OBJECT_XML_MAX = 4 << 20, OBJECT_XML_DEPTH = 16, OBJECT_XML_TEXT = 4096 };

struct object_answer { /* everything any of the answers may say; strings live in the arena */
    struct str root;   /* name of the outermost element: "Error" of a refusal */
    struct str code, message, region; /* <Error> */
    struct str upload_id;             /* <InitiateMultipartUploadResult> */
    struct object_page page;          /* <Contents> or <Upload> of a list */
};
MUST_CHECK err_t object_xml_parse(struct str xml, struct arena *a, struct object_answer *out);

#endif
