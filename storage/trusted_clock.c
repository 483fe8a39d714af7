#include "storage/trusted_clock.h"

static bool far(int64_t a, int64_t b)
{
    int64_t d;
    return __builtin_sub_overflow(a, b, &d) || d > CLOCK_STEP_NS || d < -CLOCK_STEP_NS;
}

void trusted_clock_init(struct trusted_clock *c, int64_t known_ns, int64_t wall_ns, mono_ns now)
{
    bool differs = known_ns != 0 && far(wall_ns, known_ns);
    *c = (struct trusted_clock){ .trusted_ns = differs ? known_ns : wall_ns, .wall_ns = wall_ns, .at = now, .right_since = now, .differs = differs };
}

bool trusted_clock_step(struct trusted_clock *c, int64_t wall_ns, mono_ns now)
{
    int64_t passed = now.ns - c->at.ns;
    bool stepped = far(wall_ns, c->wall_ns + passed), differed = c->differs;
    c->trusted_ns += passed;
    c->wall_ns = wall_ns;
    c->at = now;
    if (stepped) c->right_since = now;
    c->differs = far(wall_ns, c->trusted_ns) && now.ns - c->right_since.ns < CLOCK_STEP_NS;
    if (!c->differs) c->trusted_ns = wall_ns;
    return c->differs && (stepped || !differed);
}
