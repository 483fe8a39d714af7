import { Empty } from "../../components/Empty";

export default function Logs() {
  return <Empty title="This page is being built" />;
}
