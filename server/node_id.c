#include "server/node_id.h"

#include "server/node.h"
#include "storage/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static err_t ask_catalog(const char *dir, node_id *id) MAY_YIELD
{
    char path[1200];
    struct kv *kv;
    snprintf(path, sizeof path, "%s/catalog", dir);
    TRY(kv_rocks_open(path, &kv));
    err_t e = store_node_draw(kv, id);
    struct err_record why = *err_record();
    kv->close(kv);
    *err_record() = why;
    return e;
}

static err_t ask(void *arg)
{
    const char *dir = arg;
    node_id id;
    int lock;
    err_t e = node_lock(dir, &lock);
    if (e != OK) return err_set(e, "%s (a node that runs says its id itself: GET /api/cluster)", err_detail());
    e = ask_catalog(dir, &id);
    close(lock);
    if (e == OK) printf("%016" PRIx64 "\n", id.u);
    return e;
}

err_t node_id_print(const char *dir)
{
    const struct rt_opts o = { .cores = 1, .backend = RT_EPOLL };
    return rt_run(&o, ask, (void *)(uintptr_t)dir);
}
