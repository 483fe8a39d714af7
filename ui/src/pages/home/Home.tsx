import { Empty } from "../../components/Empty";

export default function Home() {
  return <Empty title="This page is being built" />;
}
