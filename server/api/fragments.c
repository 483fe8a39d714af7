#include "server/api/fragments.h"

#include "query/fragments.h"

extern const struct fragment_kind PROM_EXEMPLARS_KIND, PROM_SIGNALS_KIND, PROM_SERIES_KIND, PROM_META_KIND, PROM_SAMPLES_KIND, PROM_SPAN_KIND,
                                  USAGE_KIND;

void api_fragments_register(void)
{
    static const struct fragment_kind *const kinds[] = { &PROM_EXEMPLARS_KIND, &PROM_SIGNALS_KIND, &PROM_SERIES_KIND, &PROM_META_KIND, &PROM_SAMPLES_KIND, &PROM_SPAN_KIND,
                                                         &USAGE_KIND };
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        fragment_register(kinds[i]);
}
