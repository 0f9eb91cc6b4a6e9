// Run where @segment/analytics-node is installed: host and user id are the arguments.
import { Analytics } from "@segment/analytics-node";

const [host, user] = process.argv.slice(2);
const analytics = new Analytics({ writeKey: "dev-write-key", host, maxRetries: 2 });
const failures = [];
analytics.on("error", (error) => failures.push(error));
analytics.identify({ userId: user, traits: { email: `${user}@mail.example`, firstName: "Ada", plan: "gold" } });
analytics.track({
  userId: user,
  event: "Order Completed",
  properties: { order_id: `o-${user}`, revenue: 25.5, currency: "EUR" },
});
analytics.page({ userId: user, category: "Docs", name: "Home", properties: { path: "/" } });
analytics.screen({ userId: user, category: "Settings", name: "Main" });
analytics.group({ userId: user, groupId: `g-${user}`, traits: { name: "Acme" } });
analytics.alias({ userId: user, previousId: `old-${user}` });
analytics.track({ anonymousId: `d-${user}`, event: "Product Viewed", properties: { product_id: "p1" } });
await analytics.closeAndFlush();
if (failures.length) {
  console.error(failures);
  process.exit(1);
}
