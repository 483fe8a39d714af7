import { Empty } from "../../components/Empty";

export default function Metrics() {
  return <Empty title="This page is being built" />;
}
