import { Empty } from "../../components/Empty";

export default function TracePage() {
  return <Empty title="This page is being built" />;
}
