/* Settings: one table (config.def). Sources, later wins: defaults, the YAML file, the environment
 * (storage.seal_age = TERCET_STORAGE_SEAL_AGE), --set key=value. An unknown key, a value out of range or a
 * malformed file is ERR_INVALID and the program refuses to start. Read-only after start. The value of a SECRET is
 * never shown, neither by config_show nor in an error. */
#ifndef BASE_CORE_CONFIG_H
#define BASE_CORE_CONFIG_H

#include "base/core/buf.h"

enum config_type { CONFIG_INT, CONFIG_SIZE, CONFIG_DURATION, CONFIG_BOOL, CONFIG_SHARE, CONFIG_STRING, CONFIG_SECRET };

enum config_id {
#define CONFIG(id, name, type, unit, def, min, max, help) CFG_##id,
#include "base/core/config.def"
#undef CONFIG
    CONFIG_COUNT
};

struct config {
    int64_t num[CONFIG_COUNT];    /* INT; SIZE in bytes; DURATION in ms; BOOL */
    double share[CONFIG_COUNT];
    char text[CONFIG_COUNT][1025]; /* as given; the value of STRING and SECRET */
    const char *source[CONFIG_COUNT]; /* "default", "file", "environment", "command line" */
};

void config_defaults(struct config *c);
MUST_CHECK err_t config_set(struct config *c, struct str key, struct str value, const char *source);
/* YAML: nested maps, joined by dots. At most 1 MiB, depth 8, no aliases. */
MUST_CHECK err_t config_load_yaml(struct config *c, struct str yaml);
MUST_CHECK err_t config_load_file(struct config *c, const char *path);
/* Every TERCET_* variable must name a setting. */
MUST_CHECK err_t config_load_env(struct config *c, char *const *env);
void config_help(struct buf *out);
void config_show(const struct config *c, struct buf *out); /* YAML of the values in force, with their sources */

static inline int64_t config_num(const struct config *c, enum config_id id) { return c->num[id]; }
static inline double config_share(const struct config *c, enum config_id id) { return c->share[id]; }
static inline const char *config_text(const struct config *c, enum config_id id) { return c->text[id]; }

#endif
