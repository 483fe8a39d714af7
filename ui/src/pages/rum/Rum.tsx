import { Empty } from "../../components/Empty";

export default function Rum() {
  return <Empty title="This page is being built" />;
}
