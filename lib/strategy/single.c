/* One rank: gradients are sums already. */
#include "strategy/strategy.h"

const weft_strategy_ops weft__single = {.size = sizeof weft__single, .name = "single"};
