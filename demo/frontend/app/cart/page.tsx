import { CartTable } from '@/components/CartTable';
import { products } from '@/lib/shop';

export default async function CartPage() {
  return (
    <>
      <h1>Your cart</h1>
      <CartTable products={await products()} />
    </>
  );
}
