/* temporal-lua: everything is in host/cli. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return tl_cli_main(argc, argv);
}
