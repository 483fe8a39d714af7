import { Empty } from "../../components/Empty";

export default function Services() {
  return <Empty title="This page is being built" />;
}
