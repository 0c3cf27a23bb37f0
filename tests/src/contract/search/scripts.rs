//! Scripts other than Latin: what must be found, and what must not.

use super::{Catalogue, SearchFactory, item};

/// Products by article number and name.
const NAMES: [(&str, &str); 22] = [
    ("JA-1", "常滑焼急須 朱泥 300ml"),
    ("JA-2", "全自動コーヒーメーカー"),
    ("JA-3", "ｺｰﾋｰ豆 200g"),
    ("JA-4", "ガラスのコップ"),
    ("JA-5", "緑茶ティーバッグ"),
    ("JA-6", "東京 都電もなか"),
    ("ZH-1", "不锈钢保温杯500ml"),
    ("ZH-2", "陶瓷杯子"),
    ("KO-1", "스테인리스텀블러"),
    ("TH-1", "เครื่องชงกาแฟอัตโนมัติ"),
    ("TH-2", "เสื้อยืดผ้าฝ้าย"),
    ("LO-1", "ຈອກກາເຟ"),
    ("KM-1", "ពែងកាហ្វេ"),
    ("MY-1", "ကော်ဖီခွက်"),
    ("HI-1", "तड़का दाल"),
    ("TA-1", "கால் பாய்"),
    ("AR-1", "فِنْجَان قَهْوَة"),
    ("AR-2", "إبريق شـــاي"),
    ("HE-1", "סֵפֶר בִּשּׁוּל"),
    ("RU-1", "Ёлка искусственная"),
    ("EL-1", "Ηλεκτρική καφετιέρα"),
    ("VI-1", "Cà phê sữa đá"),
];

async fn catalogue(factory: &dyn SearchFactory) -> Catalogue {
    let mut all = Catalogue::empty(factory).await;
    for (sku, name) in NAMES {
        all.history.product(item(sku, name, "食器", ""), 1_000).await;
    }
    all.catch_up().await;
    all
}

/// Where a script has no spaces, a word is found wherever it stands; where readers leave marks out, it is found with and without.
// proves: CAT-2
pub async fn every_script_is_found_within_longer_names(factory: &dyn SearchFactory) {
    let all = catalogue(factory).await;
    for (typed, found) in [
        ("急須", &["JA-1"][..]),
        ("常滑焼", &["JA-1"]),
        ("焼急須 300ml", &["JA-1"]),
        ("コーヒー", &["JA-2", "JA-3"]),
        ("ｺｰﾋｰ", &["JA-2", "JA-3"]),
        ("メーカー", &["JA-2"]),
        ("コーヒー豆", &["JA-3"]),
        ("ガラス", &["JA-4"]),
        ("カ\u{3099}ラス", &["JA-4"]),
        ("茶", &["JA-5"]),
        ("都電", &["JA-6"]),
        ("保温杯", &["ZH-1"]),
        ("杯", &["ZH-1", "ZH-2"]),
        ("텀블러", &["KO-1"]),
        ("\u{1110}\u{1165}\u{11b7}블러", &["KO-1"]),
        ("กาแฟ", &["TH-1"]),
        ("เสื้อ", &["TH-2"]),
        ("ກາເຟ", &["LO-1"]),
        ("កាហ្វេ", &["KM-1"]),
        ("ကော်ဖီ", &["MY-1"]),
        ("दाल", &["HI-1"]),
        ("கால்", &["TA-1"]),
        ("قهوة", &["AR-1"]),
        ("فنجان", &["AR-1"]),
        ("ابريق", &["AR-2"]),
        ("شاي", &["AR-2"]),
        ("ספר בישול", &["HE-1"]),
        ("ספר בשול", &["HE-1"]),
        ("елка", &["RU-1"]),
        ("ЁЛКА", &["RU-1"]),
        ("ηλεκτρικη ΚΑΦΕΤΙΕΡΑ", &["EL-1"]),
        ("ca phe sua da", &["VI-1"]),
        ("cà phê", &["VI-1"]),
        // Typing errors, where there is an alphabet.
        ("искуственная", &["RU-1"]),
        ("καφετερια", &["EL-1"]),
    ] {
        let mut skus = all.skus(typed).await;
        skus.sort();
        assert_eq!(skus, found, "{typed}");
    }
    // What follows from the words follows here, too.
    let hits = all.hits("急須", &super::category("食器"), super::ProductSort::Relevance).await;
    assert_eq!((hits.total, hits.categories), (1, vec![("食器".to_owned(), 1)]));
}

/// Another vowel sign, another consonant, another order, or two words that only stand side by side: another word.
// proves: CAT-2
pub async fn marks_that_make_other_words_are_kept(factory: &dyn SearchFactory) {
    let all = catalogue(factory).await;
    for typed in [
        "須急",
        "急常",
        "カラス",
        "バラス",
        "コッブ",
        "京都",
        "保温瓶",
        "温保",
        "텀블라",
        "탐블러",
        "กาแฟ่",
        "เสือ",
        "ກາເຝ",
        "កហ្វេ",
        "दिल",
        "दल",
        "कड़का",
        "கல்",
        "பய்",
    ] {
        assert!(all.skus(typed).await.is_empty(), "{typed}");
    }
}
