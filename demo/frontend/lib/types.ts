export interface Product {
  id: string;
  name: string;
  description?: string;
  price: number; // minor units
  currency?: string;
}

export interface Line {
  product_id: string;
  quantity: number;
}

export interface Order {
  items: Line[];
  currency: string;
}

/** What orders answers to POST /checkout. */
export interface Receipt {
  order_id: string;
  total: number; // minor units
  currency: string;
}
