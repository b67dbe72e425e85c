FE_BINARY(fe_add, fe_sum_of, fe_sum_of_eight)
