import { CheckoutForm } from '@/components/CheckoutForm';
import { deliveryDays } from '@/lib/delivery';
import { products } from '@/lib/shop';

/** The page that is slow to paint: nothing of it is sent before the haulier has answered. */
export default async function CheckoutPage() {
  const days = await deliveryDays();
  return (
    <>
      <h1>Checkout</h1>
      <CheckoutForm products={await products()} days={days} />
    </>
  );
}
