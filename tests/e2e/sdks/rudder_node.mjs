// Run where @rudderstack/rudder-sdk-node is installed: host and user id are the arguments.
import RudderAnalytics from "@rudderstack/rudder-sdk-node";

const [host, user] = process.argv.slice(2);
const Analytics = RudderAnalytics.default ?? RudderAnalytics;
const analytics = new Analytics("dev-write-key", { dataPlaneUrl: host });
const failures = [];
const note = (error) => error && failures.push(error);
analytics.identify({ userId: user, traits: { email: `${user}@mail.example`, firstName: "Ada", plan: "gold" } }, note);
analytics.track(
  { userId: user, event: "Order Completed", properties: { order_id: `o-${user}`, revenue: 25.5, currency: "EUR" } },
  note,
);
analytics.page({ userId: user, category: "Docs", name: "Home", properties: { path: "/" } }, note);
analytics.screen({ userId: user, category: "Settings", name: "Main" }, note);
analytics.group({ userId: user, groupId: `g-${user}`, traits: { name: "Acme" } }, note);
analytics.alias({ userId: user, previousId: `old-${user}` }, note);
analytics.track({ anonymousId: `d-${user}`, event: "Product Viewed", properties: { product_id: "p1" } }, note);
await analytics.flush();
if (failures.length) {
  console.error(failures);
  process.exit(1);
}
process.exit(0);
