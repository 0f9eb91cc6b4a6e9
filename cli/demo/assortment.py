"""What the shop sells and what its customers say: plain data."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    name: str
    category: str
    brand: str
    price: Decimal

    def to_line(self, quantity: int = 1) -> dict[str, object]:
        return {
            "product_id": self.id,
            "name": self.name,
            "category": self.category,
            "brand": self.brand,
            "price": float(self.price),
            "quantity": quantity,
        }


def _make(category: str, *items: tuple[str, str, str]) -> tuple[Product, ...]:
    return tuple(
        Product(f"{category[:3].upper()}-{number:03}", name, category, brand, Decimal(price))
        for number, (name, brand, price) in enumerate(items, start=1)
    )


PRODUCTS: tuple[Product, ...] = (
    *_make(
        "coffee",
        ("Morning Blend 500 g", "Hafen", "8.90"),
        ("Espresso Nero 1 kg", "Hafen", "17.90"),
        ("Decaf Sidamo 250 g", "Kolibri", "6.50"),
        ("Single Origin Huila 250 g", "Kolibri", "11.90"),
        ("Cold Brew 6 x 250 ml", "Nordlicht", "14.40"),
    ),
    *_make(
        "tea",
        ("Earl Grey 100 g", "Kolibri", "7.20"),
        ("Sencha 80 g", "Tsubame", "12.80"),
        ("Rooibos Vanilla 150 g", "Kolibri", "5.90"),
        ("Mint Garden 20 bags", "Nordlicht", "3.95"),
    ),
    *_make(
        "kitchen",
        ("French Press 1 l", "Borg", "34.90"),
        ("Hand Grinder", "Borg", "79.00"),
        ("Pour-over Kettle", "Tsubame", "59.90"),
        ("Stoneware Mug", "Lehm", "16.50"),
        ("Espresso Machine", "Borg", "489.00"),
        ("Paper Filters 100", "Hafen", "4.20"),
    ),
    *_make(
        "sweets",
        ("Dark Chocolate 85 %", "Kolibri", "3.60"),
        ("Almond Biscotti", "Hafen", "5.40"),
        ("Oat Cookies", "Nordlicht", "4.10"),
        ("Gift Box", "Hafen", "42.00"),
    ),
)

CAMPAIGNS: tuple[dict[str, str] | None, ...] = (
    None,
    None,
    {"source": "google", "medium": "cpc", "name": "brand"},
    {"source": "google", "medium": "cpc", "name": "espresso-machines"},
    {"source": "instagram", "medium": "social", "name": "spring-mugs"},
    {"source": "newsletter", "medium": "email", "name": "monthly"},
    {"source": "coffee-blog.example", "medium": "referral", "name": "grinder-test"},
)

FIRST_NAMES = (
    *("Ada", "Ben", "Clara", "David", "Emma", "Finn", "Greta", "Hugo", "Ida", "Jonas", "Klara", "Leo"),
    *("Mia", "Noah", "Olga", "Paul", "Rosa", "Samuel", "Tilda", "Uwe", "Vera", "Willi", "Yara", "Zoe"),
)
LAST_NAMES = (
    *("Albrecht", "Bauer", "Conrad", "Dietz", "Ehlers", "Franke", "Gruber", "Hahn", "Ibsen", "Jansen", "Keller", "Lang"),
    *("Meyer", "Neumann", "Otto", "Peters", "Richter", "Schulz", "Thoma", "Urban", "Vogel", "Weber", "Ziegler"),
)
COUNTRIES = ("DE", "DE", "DE", "DE", "AT", "CH", "NL", "FR")

REVIEWS: tuple[tuple[int, str], ...] = (
    (5, "Absolutely love it, the best I have had in years."),
    (5, "Great quality and fast delivery. Will buy again!"),
    (4, "Very good, though a little pricey."),
    (4, "Nice taste and lovely packaging."),
    (3, "It is okay. Nothing special."),
    (2, "Disappointing, I expected more for the price."),
    (1, "Terrible. It arrived broken and nobody answered."),
)
TICKETS: tuple[tuple[str, str], ...] = (
    ("Where is my parcel?", "My order has not arrived yet and I am getting worried."),
    ("Broken on arrival", "The mug came in pieces. Very annoying, please replace it."),
    ("Wrong item", "I ordered the decaf and got espresso instead."),
    ("Question about grinding", "Which grind do you recommend for a French press?"),
    ("Invoice", "Could you send me the invoice again, please? Thanks!"),
)
MENTIONS: tuple[str, ...] = (
    "Just discovered this coffee shop, the Huila is amazing!",
    "Their customer service is great, replaced my mug within two days.",
    "Waiting a week for two bags of coffee. Really bad.",
    "Morning ritual sorted.",
    "Prices went up again, not happy about that.",
)
COMMENTS: tuple[tuple[int, str], ...] = (
    (10, "Would recommend you to everybody."),
    (9, "Friendly people, good coffee."),
    (8, "Good, delivery could be faster."),
    (6, "Fine, but expensive."),
    (3, "Too many problems lately."),
)
