import { Empty } from "../../components/Empty";

export default function Service() {
  return <Empty title="This page is being built" />;
}
