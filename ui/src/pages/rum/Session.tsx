import { Empty } from "../../components/Empty";

export default function Session() {
  return <Empty title="This page is being built" />;
}
