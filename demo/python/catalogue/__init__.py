"""catalogue: products and prices. The first service that orders asks in the shop's flow
(storefront -> orders -> catalogue and payments)."""
