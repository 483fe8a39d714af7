import { notFound } from 'next/navigation';
import { AddToCart } from '@/components/AddToCart';
import { AlsoBought } from '@/components/AlsoBought';
import { Picture } from '@/components/Picture';
import { money } from '@/lib/money';
import { product } from '@/lib/shop';

export default async function ProductPage({ params }: { params: { id: string } }) {
  const p = await product(params.id);
  if (!p) notFound();
  return (
    <>
      <article className="product">
        <Picture id={p.id} name={p.name} />
        <div>
          <h1>{p.name}</h1>
          {p.description && <p>{p.description}</p>}
          <p className="price">{money(p.price, p.currency)}</p>
          <AddToCart id={p.id} />
        </div>
      </article>
      <AlsoBought id={p.id} />
    </>
  );
}
