import { Empty } from "../../components/Empty";

export default function Traces() {
  return <Empty title="This page is being built" />;
}
