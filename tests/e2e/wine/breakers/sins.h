/* Every sin with the rule that must catch it. SIN(function, rule): breaker.c
 * has sin_<function>, runner.c runs it and looks for the rule in the log. */
SIN(irql_too_high, "irql.too-high")
SIN(pool_double_free, "pool.double-free")
SIN(pool_use_after_free, "pool.use-after-free")
SIN(pool_overrun, "pool.overrun")
