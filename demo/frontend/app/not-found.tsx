import Link from 'next/link';

export default function NotFound() {
  return (
    <div className="notice">
      <h1>No such thing on the shelves</h1>
      <p>
        <Link href="/" prefetch={false}>Back to the products</Link>
      </p>
    </div>
  );
}
