import Link from 'next/link';
import { AddToCart } from '@/components/AddToCart';
import { Picture } from '@/components/Picture';
import { money } from '@/lib/money';
import { products } from '@/lib/shop';

export default async function Products() {
  const all = await products();
  return (
    <>
      <h1>Everything a small boat needs</h1>
      <ul className="products">
        {all.map((p) => (
          <li key={p.id} className="card">
            <Link href={`/products/${p.id}`} prefetch={false}>
              <Picture id={p.id} name={p.name} />
              <h2>{p.name}</h2>
            </Link>
            <p className="price">{money(p.price, p.currency)}</p>
            <AddToCart id={p.id} />
          </li>
        ))}
      </ul>
    </>
  );
}
