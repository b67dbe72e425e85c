FE_BINARY(fe_multiply, fe_product_of, fe_product_of_eight)
