//! The demo's small catalogue.

/// A product of the demo, with its stock.
pub(super) struct Item {
    pub(super) sku: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) category: &'static str,
    /// EUR cents.
    pub(super) price: i64,
    pub(super) on_hand: u64,
}

const fn item(
    sku: &'static str,
    name: &'static str,
    category: &'static str,
    price: i64,
    on_hand: u64,
    description: &'static str,
) -> Item {
    Item { sku, name, description, category, price, on_hand }
}

/// The last of its kind: the third story sells it out.
pub(super) const LAST_ONE: &str = "LAMP-BRASS";

pub(super) const ITEMS: [Item; 12] = [
    item(
        "COFFEE-HOUSE",
        "House blend, 1 kg",
        "coffee",
        1_890,
        120,
        "A dark roast of three beans, for every day.",
    ),
    item(
        "COFFEE-YIRGA",
        "Yirgacheffe, 250 g",
        "coffee",
        1_150,
        60,
        "Washed arabica from Ethiopia: jasmine and lemon.",
    ),
    item("COFFEE-DECAF", "Decaf, 500 g", "coffee", 1_390, 45, "Decaffeinated with water, nothing else."),
    item("TEA-SENCHA", "Sencha, 100 g", "tea", 990, 80, "First-flush green tea from Shizuoka."),
    item("TEA-DARJEELING", "Darjeeling, 100 g", "tea", 1_090, 70, "Second flush, with its muscatel note."),
    item("BREW-POUROVER", "Pour-over dripper", "brewing", 2_450, 35, "Ceramic, for one to four cups."),
    item("BREW-MOKA", "Moka pot, 6 cups", "brewing", 3_290, 25, "Aluminium, for the hob."),
    item(
        "BREW-KETTLE",
        "Gooseneck kettle",
        "brewing",
        6_990,
        18,
        "Stainless steel, 0.9 l, with a thermometer.",
    ),
    item("GRIND-HAND", "Hand grinder", "grinders", 8_900, 22, "Conical steel burrs, 40 clicks per turn."),
    item(
        "GRIND-ELECTRIC",
        "Electric grinder",
        "grinders",
        24_900,
        9,
        "Flat burrs of 64 mm; quiet and exact.",
    ),
    item(
        "CUP-CAPPUCCINO",
        "Cappuccino cups, set of 2",
        "cups",
        2_690,
        50,
        "Thick-walled porcelain with saucers.",
    ),
    item(LAST_ONE, "Brass lamp from the shop window", "decoration", 12_900, 1, "There is only this one."),
];
