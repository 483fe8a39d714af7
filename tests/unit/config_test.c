#include "base/core/config.h"

#include <criterion/criterion.h>

static struct config c;

static void fresh(void)
{
    config_defaults(&c);
}

TestSuite(config, .init = fresh);

Test(config, reads_nested_yaml_with_units)
{
    cr_assert_eq(config_load_yaml(&c, STR("storage:\n  memory: 64MiB\n  seal_age: 2h\nnode.cores: 3\n")), OK,
                 "%s", err_detail());
    cr_assert_eq(config_num(&c, CFG_STORAGE_MEMORY), 64 << 20);
    cr_assert_eq(config_num(&c, CFG_STORAGE_SEAL_AGE), 7200000);
    cr_assert_eq(config_num(&c, CFG_NODE_CORES), 3);
    cr_assert_str_eq(c.source[CFG_NODE_CORES], "file");
}

Test(config, refuses_what_it_does_not_know)
{
    static const char *const bad[] = {
        "storage:\n  memry: 1\n",       "storage:\n  memory: lots\n", "storage:\n  memory: [1]\n",
        "storage.retention_share: 1.5", "node.cores: -1",             "just text",
        "a: &x 1\nb: *x\n",             "{",                          "storage: {memory: 1}",
        "storage.retention_share: nan",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(config_load_yaml(&c, str_of(bad[i])), ERR_INVALID, "%s", bad[i]);
        cr_assert(strlen(err_detail()) > 5);
    }
    cr_assert(strstr((config_set(&c, STR("nope"), STR("1"), "command line") == OK ? "" : err_detail()), "nope"));
}

Test(config, environment_must_name_settings)
{
    char *good[] = { "PATH=/bin", "TERCET_STORAGE_SEAL_AGE=5s", NULL };
    cr_assert_eq(config_load_env(&c, good), OK);
    cr_assert_eq(config_num(&c, CFG_STORAGE_SEAL_AGE), 5000);
    char *bad[] = { "TERCET_STORAGE_SEALAGE=5s", NULL };
    cr_assert_eq(config_load_env(&c, bad), ERR_INVALID);
}
