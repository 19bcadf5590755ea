BEGIN TRANSACTION;
CREATE TABLE alerts (
	"key" TEXT NOT NULL, 
	title TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	action TEXT NOT NULL, 
	link TEXT, 
	first_seen_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	count INTEGER NOT NULL, 
	told_at DATETIME, 
	PRIMARY KEY ("key")
);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	at TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	week TEXT, 
	payload TEXT NOT NULL, 
	previous_hash TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,'2026-08-24T14:05:02.586086+00:00','plan','2026-08-24','{"account":"PA0SANDBOX01","cash":"100000","created_at":"2026-08-24 14:05:02.586086+00:00","equity":"100000","inputs_hash":"cd34a89060b201231dfaf03594367f557e39c0730692dd4ea4a30c57b2964d5c","orders":[{"exit":false,"notional":"25088.97","price":"20.5","qty":null,"side":"buy","symbol":"AAA"},{"exit":false,"notional":"24987.99","price":"21.5","qty":null,"side":"buy","symbol":"AAB"},{"exit":false,"notional":"24887.00","price":"22.5","qty":null,"side":"buy","symbol":"AAC"},{"exit":false,"notional":"24786.02","price":"23.5","qty":null,"side":"buy","symbol":"AAD"}],"plan_hash":"591ad686d7757faa932d528efc916eacbfc39ddbd3ace176360dbd956d567f66","positions":{},"scores_as_of":"2026-08-24 14:05:02.061227+00:00","week":"2026-08-24"}','0000000000000000000000000000000000000000000000000000000000000000','4f100a50ff07a749d298dee8d3fa763b641240fbd7acb0d6474b7d60de7bd2f3');
INSERT INTO "audit" VALUES(2,'2026-08-24T14:05:03.068945+00:00','phase','2026-08-24','{"cash":"100000","equity":"100000","phase":"guard","plan_id":"2026-08-24-591ad686d775"}','4f100a50ff07a749d298dee8d3fa763b641240fbd7acb0d6474b7d60de7bd2f3','0a6e2d0ad8ddbbb9fc416fe341e9e6c842d43897ae0a91339b825cb26e47c4ff');
INSERT INTO "audit" VALUES(3,'2026-08-24T14:05:03.089881+00:00','phase','2026-08-24','{"cash":"100000","equity":"100000","phase":"recover","plan_id":"2026-08-24-591ad686d775"}','0a6e2d0ad8ddbbb9fc416fe341e9e6c842d43897ae0a91339b825cb26e47c4ff','a0542e21073a932eb2d3c5d0fe346804f388ef465da6c06083fed7defce51c8a');
INSERT INTO "audit" VALUES(4,'2026-08-24T14:05:03.113781+00:00','phase','2026-08-24','{"cash":"100000","equity":"100000","phase":"buy","plan_id":"2026-08-24-591ad686d775"}','a0542e21073a932eb2d3c5d0fe346804f388ef465da6c06083fed7defce51c8a','32ec8edf86dff9335d77378a851506295a6f0397c318eeba3252c0a99e36dc2a');
INSERT INTO "audit" VALUES(5,'2026-08-24T14:05:03.130802+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAA-buy-1","created_at":"2026-08-24T14:05:03.130780+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"25088.97","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAA","updated_at":"2026-08-24T14:05:03.130802+00:00","week":"2026-08-24"}','32ec8edf86dff9335d77378a851506295a6f0397c318eeba3252c0a99e36dc2a','5ff5f92c868ddb0ac9fa803d59a0cb2f3fcd84bba8981bf4696a74c21530932a');
INSERT INTO "audit" VALUES(6,'2026-08-24T14:05:03.142256+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","created_at":"2026-08-24T14:05:03.130780+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"25088.97","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAA","updated_at":"2026-08-24T14:05:03.142256+00:00","week":"2026-08-24"}','5ff5f92c868ddb0ac9fa803d59a0cb2f3fcd84bba8981bf4696a74c21530932a','4cd93caa9968b2fd49c0268bded87e3cf74c5b95a55a8f818988ca9cfda11c0b');
INSERT INTO "audit" VALUES(7,'2026-08-24T14:05:03.150470+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAB","updated_at":"2026-08-24T14:05:03.150470+00:00","week":"2026-08-24"}','4cd93caa9968b2fd49c0268bded87e3cf74c5b95a55a8f818988ca9cfda11c0b','72f2e2020e6f2b2019af30649f85e903bcdb41e63c1177f7f655e9d1afdeee2e');
INSERT INTO "audit" VALUES(8,'2026-08-24T14:05:03.159083+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAB","updated_at":"2026-08-24T14:05:03.159083+00:00","week":"2026-08-24"}','72f2e2020e6f2b2019af30649f85e903bcdb41e63c1177f7f655e9d1afdeee2e','7b53a7d00d36a002069a5e75cab19194a118ce628fef52db43481a5fc03bcd6e');
INSERT INTO "audit" VALUES(9,'2026-08-24T14:05:03.168464+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAC","updated_at":"2026-08-24T14:05:03.168464+00:00","week":"2026-08-24"}','7b53a7d00d36a002069a5e75cab19194a118ce628fef52db43481a5fc03bcd6e','2479676143488f6fa208d6f299b6c5cb2a81b453008191ca78dee7d4f4d477d3');
INSERT INTO "audit" VALUES(10,'2026-08-24T14:05:03.173644+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAC","updated_at":"2026-08-24T14:05:03.173644+00:00","week":"2026-08-24"}','2479676143488f6fa208d6f299b6c5cb2a81b453008191ca78dee7d4f4d477d3','6df415800bac46fecbdff103fdc2d86132f8114bf872fff14aec60f3639dc629');
INSERT INTO "audit" VALUES(11,'2026-08-24T14:05:03.179584+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAD-buy-1","created_at":"2026-08-24T14:05:03.179563+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24786.02","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAD","updated_at":"2026-08-24T14:05:03.179584+00:00","week":"2026-08-24"}','6df415800bac46fecbdff103fdc2d86132f8114bf872fff14aec60f3639dc629','6bc6dd74d1c7c43652a4de36292d518aaa970c7a015d1fa7f36752cc00f63a3c');
INSERT INTO "audit" VALUES(12,'2026-08-24T14:05:03.189296+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","created_at":"2026-08-24T14:05:03.179563+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24786.02","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAD","updated_at":"2026-08-24T14:05:03.189296+00:00","week":"2026-08-24"}','6bc6dd74d1c7c43652a4de36292d518aaa970c7a015d1fa7f36752cc00f63a3c','01ab2b0a9b4a436da1e0c14d442d269ee82063a6534de49555782bf1ca4601f4');
INSERT INTO "audit" VALUES(13,'2026-08-24T14:05:03.194688+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","created_at":"2026-08-24T14:05:03.130780+00:00","filled_avg_price":"20.51","filled_qty":"1223.255485128","note":null,"notional":"25088.97","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAA","updated_at":"2026-08-24T14:05:03.194688+00:00","week":"2026-08-24"}','01ab2b0a9b4a436da1e0c14d442d269ee82063a6534de49555782bf1ca4601f4','4907f347c6371efe044f39c514671034936c885ef611f3a5d3fa0dcd2ee84734');
INSERT INTO "audit" VALUES(14,'2026-08-24T14:05:03.197700+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":"21.51","filled_qty":"387.230125523","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"partially_filled","symbol":"AAB","updated_at":"2026-08-24T14:05:03.197700+00:00","week":"2026-08-24"}','4907f347c6371efe044f39c514671034936c885ef611f3a5d3fa0dcd2ee84734','73fadf144fb74cba00e1abc14517465692e8466346b7a578194c8c54b40407ab');
INSERT INTO "audit" VALUES(15,'2026-08-24T14:05:03.200862+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"new","symbol":"AAC","updated_at":"2026-08-24T14:05:03.200862+00:00","week":"2026-08-24"}','73fadf144fb74cba00e1abc14517465692e8466346b7a578194c8c54b40407ab','7f4d8d1abe72c3698ee93dee2e5f794028d401b7de1a2f4f53f82c7074708a36');
INSERT INTO "audit" VALUES(16,'2026-08-24T14:05:03.257021+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":"21.51","filled_qty":"1161.691771269","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAB","updated_at":"2026-08-24T14:05:03.257021+00:00","week":"2026-08-24"}','7f4d8d1abe72c3698ee93dee2e5f794028d401b7de1a2f4f53f82c7074708a36','a0a6482e010847d17eb67d2b8553c6e184ea47f9385a5ade9376318d935bc29e');
INSERT INTO "audit" VALUES(17,'2026-08-24T14:05:03.264229+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":"22.51","filled_qty":"1105.597512215","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAC","updated_at":"2026-08-24T14:05:03.264229+00:00","week":"2026-08-24"}','a0a6482e010847d17eb67d2b8553c6e184ea47f9385a5ade9376318d935bc29e','904d7682441f438e06f67228028d318989e8b927339057dbfed7354d9b9da1b0');
INSERT INTO "audit" VALUES(18,'2026-08-24T14:05:03.268200+00:00','order','2026-08-24','{"account":"PA0SANDBOX01","attempt":1,"broker_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","created_at":"2026-08-24T14:05:03.179563+00:00","filled_avg_price":"23.51","filled_qty":"1054.275627391","note":null,"notional":"24786.02","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAD","updated_at":"2026-08-24T14:05:03.268200+00:00","week":"2026-08-24"}','904d7682441f438e06f67228028d318989e8b927339057dbfed7354d9b9da1b0','e9cabfa6954c3299866055df3c8c004890f98b94b30533c0b3e49f983d5aae0f');
INSERT INTO "audit" VALUES(19,'2026-08-24T14:05:03.189169+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.189169+00:00","broker_order_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","id":"20260824140503189::6b0feda1-7432-429e-81ad-431daccd1b20","price":"20.51","qty":"407.751340809","side":"buy","symbol":"AAA"}','e9cabfa6954c3299866055df3c8c004890f98b94b30533c0b3e49f983d5aae0f','a5c97f80f54fcdac43f673060a0f1cda728cb3c92966af5079973d2d0792a605');
INSERT INTO "audit" VALUES(20,'2026-08-24T14:05:03.189169+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.189169+00:00","broker_order_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","id":"20260824140503189::d0b9fa10-6487-4b43-968d-12811d8f882d","price":"20.51","qty":"407.752315943","side":"buy","symbol":"AAA"}','a5c97f80f54fcdac43f673060a0f1cda728cb3c92966af5079973d2d0792a605','33a1bbd5ca7f708422dc13acf8c3b6bd97a4137055c1c9b5ad7e342a27e56f3e');
INSERT INTO "audit" VALUES(21,'2026-08-24T14:05:03.194494+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.194494+00:00","broker_order_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","id":"20260824140503194::c79189b6-f36a-4adc-9eed-d008d0e218bf","price":"20.51","qty":"407.751828376","side":"buy","symbol":"AAA"}','33a1bbd5ca7f708422dc13acf8c3b6bd97a4137055c1c9b5ad7e342a27e56f3e','18dd19dd7a24ebfb1b0152ebacac2739a7cb93f12d24a41e44858ca96fb9679e');
INSERT INTO "audit" VALUES(22,'2026-08-24T14:05:03.194494+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.194494+00:00","broker_order_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","id":"20260824140503194::1ea39075-bf09-49dc-a8bf-fe49632c7fd9","price":"21.51","qty":"387.230125523","side":"buy","symbol":"AAB"}','18dd19dd7a24ebfb1b0152ebacac2739a7cb93f12d24a41e44858ca96fb9679e','38d49b0dca30560a006be131742dcb1a6056d7488f3fcf710b32cd0677c29cab');
INSERT INTO "audit" VALUES(23,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","id":"20260824140503256::f1189e8f-6ed3-4dda-9006-c3c9d22e0571","price":"21.51","qty":"387.231055323","side":"buy","symbol":"AAB"}','38d49b0dca30560a006be131742dcb1a6056d7488f3fcf710b32cd0677c29cab','42416c633795339db3bd645db9315df77b132b45863175028508e3bc84d28784');
INSERT INTO "audit" VALUES(24,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","id":"20260824140503256::a460c8ea-4100-4ff4-a4a3-1f4fbf3cc25c","price":"21.51","qty":"387.230590423","side":"buy","symbol":"AAB"}','42416c633795339db3bd645db9315df77b132b45863175028508e3bc84d28784','70c93ae9c60978822284033e144a89302b291330b2eff709cb26e00d07f0d7a8');
INSERT INTO "audit" VALUES(25,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","id":"20260824140503256::9b578b01-2505-4977-ad97-93bdcf05e31a","price":"22.51","qty":"368.532207907","side":"buy","symbol":"AAC"}','70c93ae9c60978822284033e144a89302b291330b2eff709cb26e00d07f0d7a8','c01cf97a16065fda2ff39ba0e3880d6e2e6f6721d3828565599d2ac49bd40fba');
INSERT INTO "audit" VALUES(26,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","id":"20260824140503256::3b496b1b-55ea-4190-ab4a-d2eed3a73db4","price":"22.51","qty":"368.532652154","side":"buy","symbol":"AAC"}','c01cf97a16065fda2ff39ba0e3880d6e2e6f6721d3828565599d2ac49bd40fba','f445e57c0be52c3a8da79e11c4a71f3e4302fec0ebd855d0f95b7d9b8bc3aef6');
INSERT INTO "audit" VALUES(27,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","id":"20260824140503256::b53dd144-361d-47b9-b947-8ccf2c66ff06","price":"22.51","qty":"368.532652154","side":"buy","symbol":"AAC"}','f445e57c0be52c3a8da79e11c4a71f3e4302fec0ebd855d0f95b7d9b8bc3aef6','642f41362cb39ecab3aaf8f9c401d6eae2a10cf6fd96893146e1aa9a9a448512');
INSERT INTO "audit" VALUES(28,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","id":"20260824140503256::e43e8046-75a5-4f3f-9f00-430c48e895c3","price":"23.51","qty":"351.424925563","side":"buy","symbol":"AAD"}','642f41362cb39ecab3aaf8f9c401d6eae2a10cf6fd96893146e1aa9a9a448512','5148de931eb46fa5194924c137e2cbabd12c0ea27de6c1ece5ef863d1ed1b047');
INSERT INTO "audit" VALUES(29,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","id":"20260824140503256::33edc372-be98-4903-912b-6f443c198a77","price":"23.51","qty":"351.425350914","side":"buy","symbol":"AAD"}','5148de931eb46fa5194924c137e2cbabd12c0ea27de6c1ece5ef863d1ed1b047','987e82d28f37dd2b0a877ab94d58ad959a545fa475404739f9e70a2527073e09');
INSERT INTO "audit" VALUES(30,'2026-08-24T14:05:03.256472+00:00','fill','2026-08-24','{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","id":"20260824140503256::3a168a95-819c-4f46-998b-38ae22a13bd2","price":"23.51","qty":"351.425350914","side":"buy","symbol":"AAD"}','987e82d28f37dd2b0a877ab94d58ad959a545fa475404739f9e70a2527073e09','e0091995e1a6987ab7d7ac473c3a89c97a6e2d835d7df0fa0fb5931288ea1758');
INSERT INTO "audit" VALUES(31,'2026-08-24T14:05:03.288418+00:00','reconciliation','2026-08-24','{"cash_expected":"250.02","cash_found":"250.02","fills":12,"flaws":[],"plan_id":"2026-08-24-591ad686d775","positions":4}','e0091995e1a6987ab7d7ac473c3a89c97a6e2d835d7df0fa0fb5931288ea1758','2e1d83854d32aca5a2e95e6264ecb4a0e9cba61cf61bf2ea8d2530f978e67839');
INSERT INTO "audit" VALUES(32,'2026-08-24T15:00:00.000000+00:00','halt','2026-08-24','{"by":"ann","reason":"before the holidays"}','2e1d83854d32aca5a2e95e6264ecb4a0e9cba61cf61bf2ea8d2530f978e67839','f8157e7fc0431a0453357032e4aea4877cf313e47da55c656e113aa659faa278');
INSERT INTO "audit" VALUES(33,'2026-08-24T16:00:00.000000+00:00','resume','2026-08-24','{"by":"ann","reason":"back again"}','f8157e7fc0431a0453357032e4aea4877cf313e47da55c656e113aa659faa278','c7e44c084c452b16cf1168b952236cdaad10ebcb7ea27530130c1cc7b4421108');
INSERT INTO "audit" VALUES(34,'2026-08-24T16:05:00.000000+00:00','approval','2026-08-24','{"by":"ann","plan_hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","plan_id":"2026-08-24-0123456789ab"}','c7e44c084c452b16cf1168b952236cdaad10ebcb7ea27530130c1cc7b4421108','b458dd31e31ab4263309f6d662429d48e66dc7b82559a0e6ae1c23b9071bdd5c');
CREATE TABLE audit_head (
	id INTEGER NOT NULL CHECK (id = 1), 
	count INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "audit_head" VALUES(1,34,'b458dd31e31ab4263309f6d662429d48e66dc7b82559a0e6ae1c23b9071bdd5c');
CREATE TABLE backtest (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	day TEXT NOT NULL, 
	equity FLOAT NOT NULL, 
	cash FLOAT NOT NULL, 
	held BIGINT NOT NULL, 
	traded FLOAT NOT NULL, 
	costs FLOAT NOT NULL, 
	PRIMARY KEY (snapshot_id, position)
);
CREATE TABLE backups (
	id INTEGER NOT NULL, 
	begun_at DATETIME NOT NULL, 
	bytes BIGINT NOT NULL, 
	server_version TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE daily_bars (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	session TEXT NOT NULL, 
	names BIGINT NOT NULL, 
	bars BIGINT NOT NULL, 
	corrected BIGINT NOT NULL, 
	refused BIGINT NOT NULL, 
	PRIMARY KEY (snapshot_id, position)
);
CREATE TABLE equity_marks (
	id INTEGER NOT NULL, 
	account TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	equity TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "equity_marks" VALUES(1,'PA0SANDBOX01','2026-08-24 14:05:02.815647','100000');
INSERT INTO "equity_marks" VALUES(2,'PA0SANDBOX01','2026-08-24 14:05:03.077952','100000');
INSERT INTO "equity_marks" VALUES(3,'PA0SANDBOX01','2026-08-24 14:05:03.106396','100000');
CREATE TABLE fills (
	id TEXT NOT NULL, 
	broker_order_id TEXT NOT NULL, 
	client_order_id TEXT, 
	account TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	side TEXT NOT NULL, 
	qty TEXT NOT NULL, 
	price TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "fills" VALUES('20260824140503189::6b0feda1-7432-429e-81ad-431daccd1b20','38fd2945-925c-4e0a-a20b-e44289296a53','tokenomics-2026-08-24-AAA-buy-1','PA0SANDBOX01','AAA','buy','407.751340809','20.51','2026-08-24 14:05:03.189169');
INSERT INTO "fills" VALUES('20260824140503189::d0b9fa10-6487-4b43-968d-12811d8f882d','38fd2945-925c-4e0a-a20b-e44289296a53','tokenomics-2026-08-24-AAA-buy-1','PA0SANDBOX01','AAA','buy','407.752315943','20.51','2026-08-24 14:05:03.189169');
INSERT INTO "fills" VALUES('20260824140503194::c79189b6-f36a-4adc-9eed-d008d0e218bf','38fd2945-925c-4e0a-a20b-e44289296a53','tokenomics-2026-08-24-AAA-buy-1','PA0SANDBOX01','AAA','buy','407.751828376','20.51','2026-08-24 14:05:03.194494');
INSERT INTO "fills" VALUES('20260824140503194::1ea39075-bf09-49dc-a8bf-fe49632c7fd9','34814ade-877e-4c56-aa56-fa2e0e95a244','tokenomics-2026-08-24-AAB-buy-1','PA0SANDBOX01','AAB','buy','387.230125523','21.51','2026-08-24 14:05:03.194494');
INSERT INTO "fills" VALUES('20260824140503256::f1189e8f-6ed3-4dda-9006-c3c9d22e0571','34814ade-877e-4c56-aa56-fa2e0e95a244','tokenomics-2026-08-24-AAB-buy-1','PA0SANDBOX01','AAB','buy','387.231055323','21.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::a460c8ea-4100-4ff4-a4a3-1f4fbf3cc25c','34814ade-877e-4c56-aa56-fa2e0e95a244','tokenomics-2026-08-24-AAB-buy-1','PA0SANDBOX01','AAB','buy','387.230590423','21.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::9b578b01-2505-4977-ad97-93bdcf05e31a','135a28a6-4b35-4f8e-94ae-594fc9c32051','tokenomics-2026-08-24-AAC-buy-1','PA0SANDBOX01','AAC','buy','368.532207907','22.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::3b496b1b-55ea-4190-ab4a-d2eed3a73db4','135a28a6-4b35-4f8e-94ae-594fc9c32051','tokenomics-2026-08-24-AAC-buy-1','PA0SANDBOX01','AAC','buy','368.532652154','22.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::b53dd144-361d-47b9-b947-8ccf2c66ff06','135a28a6-4b35-4f8e-94ae-594fc9c32051','tokenomics-2026-08-24-AAC-buy-1','PA0SANDBOX01','AAC','buy','368.532652154','22.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::e43e8046-75a5-4f3f-9f00-430c48e895c3','96677af0-95c3-4a44-b13a-bbf52a588e71','tokenomics-2026-08-24-AAD-buy-1','PA0SANDBOX01','AAD','buy','351.424925563','23.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::33edc372-be98-4903-912b-6f443c198a77','96677af0-95c3-4a44-b13a-bbf52a588e71','tokenomics-2026-08-24-AAD-buy-1','PA0SANDBOX01','AAD','buy','351.425350914','23.51','2026-08-24 14:05:03.256472');
INSERT INTO "fills" VALUES('20260824140503256::3a168a95-819c-4f46-998b-38ae22a13bd2','96677af0-95c3-4a44-b13a-bbf52a588e71','tokenomics-2026-08-24-AAD-buy-1','PA0SANDBOX01','AAD','buy','351.425350914','23.51','2026-08-24 14:05:03.256472');
CREATE TABLE financials (
	symbol TEXT NOT NULL, 
	known_at DATETIME NOT NULL, 
	roe_ttm_pct FLOAT, 
	debt_to_equity FLOAT, 
	revenue_growth_yoy_pct FLOAT, 
	eps_growth_yoy_pct FLOAT, 
	book_value_per_share FLOAT, 
	market_cap_musd FLOAT, reported_period TEXT, 
	PRIMARY KEY (symbol, known_at)
);
INSERT INTO "financials" VALUES('AAA','2026-08-24 14:05:01.772473',20.0,0.5,9.0,12.0,6.83333333333333303727e+00,90000.0,NULL);
INSERT INTO "financials" VALUES('AAB','2026-08-24 14:05:01.775948',1.96666666666666678509e+01,0.5,8.75,12.0,7.16666666666666696272e+00,89999.0,NULL);
INSERT INTO "financials" VALUES('AAC','2026-08-24 14:05:01.796812',1.9333333333333332149e+01,0.5,8.5,12.0,7.5,89998.0,NULL);
INSERT INTO "financials" VALUES('AAE','2026-08-24 14:05:01.799210',1.86666666666666678509e+01,0.5,8.0,12.0,8.16666666666666607454e+00,89996.0,NULL);
INSERT INTO "financials" VALUES('AAF','2026-08-24 14:05:01.801103',1.8333333333333332149e+01,0.5,7.75,12.0,8.5,89995.0,NULL);
INSERT INTO "financials" VALUES('AAD','2026-08-24 14:05:01.811672',19.0,0.5,8.25,12.0,7.83333333333333303727e+00,89997.0,NULL);
INSERT INTO "financials" VALUES('AAH','2026-08-24 14:05:01.813997',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "financials" VALUES('AAG','2026-08-24 14:05:01.820712',18.0,0.5,7.5,12.0,8.83333333333333392545e+00,89994.0,NULL);
CREATE TABLE listings (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	description TEXT, 
	type TEXT, 
	mic TEXT, 
	currency TEXT, 
	figi TEXT, 
	share_class_figi TEXT, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "listings" VALUES(1,0,'AAA','AAA Corp Common Stock','Common Stock','XNYS','USD','BBGD3788AC18','BBGABCA78716');
INSERT INTO "listings" VALUES(1,1,'AAB','AAB Corp Common Stock','Common Stock','XNYS','USD','BBGE226198D5','BBGB9E239D72');
INSERT INTO "listings" VALUES(1,2,'AAC','AAC Corp Common Stock','Common Stock','XNYS','USD','BBG8E9CB65FD','BBGFDE672016');
INSERT INTO "listings" VALUES(1,3,'AAD','AAD Corp Common Stock','Common Stock','XNYS','USD','BBG09BAF8EFA','BBGBA9AB944F');
INSERT INTO "listings" VALUES(1,4,'AAE','AAE Corp Common Stock','Common Stock','XNYS','USD','BBG04DE522C9','BBG0B0C3F6BF');
INSERT INTO "listings" VALUES(1,5,'AAF','AAF Corp Common Stock','Common Stock','XNYS','USD','BBG05763373C','BBG5C2531957');
INSERT INTO "listings" VALUES(1,6,'AAG','AAG Corp Common Stock','Common Stock','XNYS','USD','BBGF2FED793F','BBG39324BBA8');
INSERT INTO "listings" VALUES(1,7,'AAH','AAH Corp Common Stock','Common Stock','XNYS','USD','BBG21EF0B9B7','BBGF10111896');
INSERT INTO "listings" VALUES(1,8,'AAI','AAI Corp Common Stock','Common Stock','XNYS','USD','BBG948DC99DB','BBG44CA4BE0E');
INSERT INTO "listings" VALUES(1,9,'AAJ','AAJ Corp Common Stock','Common Stock','XNYS','USD','BBG40B8D818C','BBG000420B57');
CREATE TABLE orders (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	client_order_id TEXT NOT NULL, 
	symbol TEXT NOT NULL, 
	side TEXT NOT NULL, 
	qty TEXT, 
	notional TEXT, 
	status TEXT NOT NULL, 
	filled_qty TEXT NOT NULL, 
	filled_avg_price TEXT, 
	note TEXT, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "orders" VALUES(6,0,'tokenomics-2026-08-24-AAA-buy-1','AAA','buy',NULL,'25088.97','filled','1223.255485128','20.51',NULL);
INSERT INTO "orders" VALUES(6,1,'tokenomics-2026-08-24-AAB-buy-1','AAB','buy',NULL,'24987.99','filled','1161.691771269','21.51',NULL);
INSERT INTO "orders" VALUES(6,2,'tokenomics-2026-08-24-AAC-buy-1','AAC','buy',NULL,'24887.00','filled','1105.597512215','22.51',NULL);
INSERT INTO "orders" VALUES(6,3,'tokenomics-2026-08-24-AAD-buy-1','AAD','buy',NULL,'24786.02','filled','1054.275627391','23.51',NULL);
CREATE TABLE "orders_ledger" (
	client_order_id TEXT NOT NULL, 
	account TEXT NOT NULL, 
	plan_id TEXT NOT NULL, 
	week DATE NOT NULL, 
	symbol TEXT NOT NULL, 
	side TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	qty TEXT, 
	notional TEXT, 
	status TEXT NOT NULL, 
	broker_id TEXT, 
	filled_qty TEXT NOT NULL, 
	filled_avg_price TEXT, 
	note TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	sleeve TEXT NOT NULL, 
	period TEXT NOT NULL, 
	PRIMARY KEY (client_order_id)
);
INSERT INTO "orders_ledger" VALUES('tokenomics-2026-08-24-AAA-buy-1','PA0SANDBOX01','2026-08-24-591ad686d775','2026-08-24','AAA','buy',1,NULL,'25088.97','filled','38fd2945-925c-4e0a-a20b-e44289296a53','1223.255485128','20.51',NULL,'2026-08-24 14:05:03.130780','2026-08-24 14:05:03.194688','fundamentals','2026-08-24');
INSERT INTO "orders_ledger" VALUES('tokenomics-2026-08-24-AAB-buy-1','PA0SANDBOX01','2026-08-24-591ad686d775','2026-08-24','AAB','buy',1,NULL,'24987.99','filled','34814ade-877e-4c56-aa56-fa2e0e95a244','1161.691771269','21.51',NULL,'2026-08-24 14:05:03.150448','2026-08-24 14:05:03.257021','fundamentals','2026-08-24');
INSERT INTO "orders_ledger" VALUES('tokenomics-2026-08-24-AAC-buy-1','PA0SANDBOX01','2026-08-24-591ad686d775','2026-08-24','AAC','buy',1,NULL,'24887.00','filled','135a28a6-4b35-4f8e-94ae-594fc9c32051','1105.597512215','22.51',NULL,'2026-08-24 14:05:03.168442','2026-08-24 14:05:03.264229','fundamentals','2026-08-24');
INSERT INTO "orders_ledger" VALUES('tokenomics-2026-08-24-AAD-buy-1','PA0SANDBOX01','2026-08-24-591ad686d775','2026-08-24','AAD','buy',1,NULL,'24786.02','filled','96677af0-95c3-4a44-b13a-bbf52a588e71','1054.275627391','23.51',NULL,'2026-08-24 14:05:03.179563','2026-08-24 14:05:03.268200','fundamentals','2026-08-24');
CREATE TABLE portfolio_report (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	qty FLOAT NOT NULL, 
	price FLOAT, 
	value FLOAT, 
	weight FLOAT, 
	target_weight FLOAT NOT NULL, 
	drift FLOAT, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "portfolio_report" VALUES(7,0,'AAA',1223.255485128,20.5,25076.737445124,2.50881395539849838538e-01,2.51518595446172665841e-01,6.37199906322827303029e-04);
INSERT INTO "portfolio_report" VALUES(7,1,'AAB',1161.691771269,21.5,24976.3730822835,2.49877295566039714369e-01,2.50506198482057296228e-01,6.28902916017581858909e-04);
INSERT INTO "portfolio_report" VALUES(7,2,'AAC',1105.597512215,22.5,24875.9440248375,2.48872548352015526829e-01,2.49493801517941871104e-01,6.21253165926344275149e-04);
INSERT INTO "portfolio_report" VALUES(7,3,'AAD',1054.275627391,23.5,24775.4772436885,2.47867423729435931711e-01,2.4848140455382644598e-01,6.13980824390514268174e-04);
CREATE TABLE profiles (
	symbol TEXT NOT NULL, 
	known_at DATETIME NOT NULL, 
	name TEXT, 
	currency TEXT, 
	market_cap_musd FLOAT, 
	shares_outstanding_m FLOAT, industry TEXT, 
	PRIMARY KEY (symbol, known_at)
);
INSERT INTO "profiles" VALUES('AAB','2026-08-24 14:05:01.293323','AAB Corp','USD',89999.0,4186.0,NULL);
INSERT INTO "profiles" VALUES('AAA','2026-08-24 14:05:01.294389','AAA Corp','USD',90000.0,4.39024390243902416829e+03,NULL);
INSERT INTO "profiles" VALUES('AAC','2026-08-24 14:05:01.305880','AAC Corp','USD',89998.0,3.99991111111111104035e+03,NULL);
INSERT INTO "profiles" VALUES('AAD','2026-08-24 14:05:01.308807','AAD Corp','USD',89997.0,3.82965957446808488388e+03,NULL);
INSERT INTO "profiles" VALUES('AAE','2026-08-24 14:05:01.309206','AAE Corp','USD',89996.0,3.67330612244897974959e+03,NULL);
INSERT INTO "profiles" VALUES('AAH','2026-08-24 14:05:01.313626','AAH Corp','USD',89993.0,3.27247272727272729762e+03,NULL);
INSERT INTO "profiles" VALUES('AAG','2026-08-24 14:05:01.313953','AAG Corp','USD',89994.0,3396.0,NULL);
INSERT INTO "profiles" VALUES('AAF','2026-08-24 14:05:01.314146','AAF Corp','USD',89995.0,3.52921568627450960779e+03,NULL);
INSERT INTO "profiles" VALUES('AAI','2026-08-24 14:05:01.320811','AAI Corp','USD',89992.0,3.15761403508771945776e+03,NULL);
INSERT INTO "profiles" VALUES('AAJ','2026-08-24 14:05:01.321046','AAJ Corp','USD',89991.0,3.05054237288135573179e+03,NULL);
CREATE TABLE schema_version (
	id INTEGER NOT NULL CHECK (id = 1), 
	version INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "schema_version" VALUES(1,5);
CREATE TABLE scores (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	score FLOAT, 
	reason TEXT, 
	roe_points FLOAT, 
	debt_points FLOAT, 
	growth_points FLOAT, 
	roe_ttm_pct FLOAT, 
	debt_to_equity FLOAT, 
	revenue_growth_yoy_pct FLOAT, 
	eps_growth_yoy_pct FLOAT, 
	book_value_per_share FLOAT, 
	market_cap_musd FLOAT, 
	known_at DATETIME, reported_period TEXT, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "scores" VALUES(3,0,'AAA',6.6854166666666657191e+01,NULL,6.66666666666666714053e+01,8.33333333333333285946e+01,50.625,20.0,0.5,9.0,12.0,6.83333333333333303727e+00,90000.0,'2026-08-24 14:05:01.772473',NULL);
INSERT INTO "scores" VALUES(3,1,'AAB',6.65850694444444428637e+01,NULL,6.61111111111111142673e+01,8.33333333333333285946e+01,50.46875,1.96666666666666678509e+01,0.5,8.75,12.0,7.16666666666666696272e+00,89999.0,'2026-08-24 14:05:01.775948',NULL);
INSERT INTO "scores" VALUES(3,2,'AAC',6.63159722222222285364e+01,NULL,6.55555555555555571336e+01,8.33333333333333285946e+01,50.3125,1.9333333333333332149e+01,0.5,8.5,12.0,7.5,89998.0,'2026-08-24 14:05:01.796812',NULL);
INSERT INTO "scores" VALUES(3,3,'AAD',66.046875,NULL,65.0,8.33333333333333285946e+01,50.15625,19.0,0.5,8.25,12.0,7.83333333333333303727e+00,89997.0,'2026-08-24 14:05:01.811672',NULL);
INSERT INTO "scores" VALUES(3,4,'AAE',6.57777777777777714627e+01,NULL,6.4444444444444457078e+01,8.33333333333333285946e+01,50.0,1.86666666666666678509e+01,0.5,8.0,12.0,8.16666666666666607454e+00,89996.0,'2026-08-24 14:05:01.799210',NULL);
INSERT INTO "scores" VALUES(3,5,'AAF',6.55086805555555571354e+01,NULL,6.38888888888888857326e+01,8.33333333333333285946e+01,49.84375,1.8333333333333332149e+01,0.5,7.75,12.0,8.5,89995.0,'2026-08-24 14:05:01.801103',NULL);
INSERT INTO "scores" VALUES(3,6,'AAG',6.52395833333333285963e+01,NULL,6.33333333333333357026e+01,8.33333333333333285946e+01,49.6875,18.0,0.5,7.5,12.0,8.83333333333333392545e+00,89994.0,'2026-08-24 14:05:01.820712',NULL);
INSERT INTO "scores" VALUES(3,7,'AAH',NULL,'ROE is missing; debt/equity is missing; revenue and EPS growth are both missing',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,89993.0,'2026-08-24 14:05:01.813997',NULL);
CREATE TABLE snapshots (
	id INTEGER NOT NULL, 
	asset TEXT NOT NULL, 
	partition TEXT NOT NULL, 
	as_of DATETIME NOT NULL, 
	run_id TEXT NOT NULL, 
	row_count INTEGER NOT NULL, 
	details JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "snapshots" VALUES(1,'listings','','2026-08-24 14:05:00.486913','b236499a-1691-4a55-a4e7-d08c145e0c2f',10,'{}');
INSERT INTO "snapshots" VALUES(2,'universe','','2026-08-24 14:05:00.679897','b236499a-1691-4a55-a4e7-d08c145e0c2f',8,'{"dropped": {"AAI": "below the 8 largest by market cap", "AAJ": "below the 8 largest by market cap"}, "candidates": 10, "asked": 10}');
INSERT INTO "snapshots" VALUES(3,'scores','','2026-08-24 14:05:02.061227','3685f5a8-e4c4-4769-80e6-fdecfb73c1cf',8,'{"universe_as_of": "2026-08-24T14:05:00.679897+00:00", "sweep": 1}');
INSERT INTO "snapshots" VALUES(4,'target_weights','2026-08-24','2026-08-24 14:05:02.417319','223a88c5-8b32-4631-ae95-b861570b01c2',4,'{"scores_as_of": "2026-08-24T14:05:02.061227+00:00", "cash_weight": 1.7763568394002505e-15}');
INSERT INTO "snapshots" VALUES(5,'trade_plan','2026-08-24','2026-08-24 14:05:02.586086','223a88c5-8b32-4631-ae95-b861570b01c2',4,'{"plan": {"account": "PA0SANDBOX01", "cash": "100000", "created_at": "2026-08-24 14:05:02.586086+00:00", "equity": "100000", "inputs_hash": "cd34a89060b201231dfaf03594367f557e39c0730692dd4ea4a30c57b2964d5c", "orders": [{"exit": false, "notional": "25088.97", "price": "20.5", "qty": null, "side": "buy", "symbol": "AAA"}, {"exit": false, "notional": "24987.99", "price": "21.5", "qty": null, "side": "buy", "symbol": "AAB"}, {"exit": false, "notional": "24887.00", "price": "22.5", "qty": null, "side": "buy", "symbol": "AAC"}, {"exit": false, "notional": "24786.02", "price": "23.5", "qty": null, "side": "buy", "symbol": "AAD"}], "plan_hash": "591ad686d7757faa932d528efc916eacbfc39ddbd3ace176360dbd956d567f66", "positions": {}, "scores_as_of": "2026-08-24 14:05:02.061227+00:00", "week": "2026-08-24"}}');
INSERT INTO "snapshots" VALUES(6,'orders','2026-08-24','2026-08-24 14:05:03.293773','223a88c5-8b32-4631-ae95-b861570b01c2',4,'{"plan_id": "2026-08-24-591ad686d775", "skipped": {}, "stuck": [], "reconciliation_flaws": []}');
INSERT INTO "snapshots" VALUES(7,'portfolio_report','2026-08-24','2026-08-24 14:05:03.381368','223a88c5-8b32-4631-ae95-b861570b01c2',4,'{"account": "PA0SANDBOX01", "equity": "99954.5517959335", "cash": "250.02"}');
CREATE TABLE sweeps (
	id INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	fresh_since DATETIME NOT NULL, 
	finished_at DATETIME, 
	run_id TEXT NOT NULL, 
	requested INTEGER NOT NULL, 
	failures JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "sweeps" VALUES(1,'2026-08-24 14:05:01.698881','2026-08-19 14:05:01.698881','2026-08-24 14:05:01.824165','32f6f860-0bb4-46f4-b229-065e7f7a6b98',8,'{}');
CREATE TABLE target_weights (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	weight FLOAT NOT NULL, 
	score FLOAT NOT NULL, 
	market_cap_musd FLOAT, 
	rank BIGINT NOT NULL, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "target_weights" VALUES(4,0,'AAA',2.51518595446172665841e-01,6.6854166666666657191e+01,90000.0,1);
INSERT INTO "target_weights" VALUES(4,1,'AAB',2.50506198482057296228e-01,6.65850694444444428637e+01,89999.0,2);
INSERT INTO "target_weights" VALUES(4,2,'AAC',2.49493801517941871104e-01,6.63159722222222285364e+01,89998.0,3);
INSERT INTO "target_weights" VALUES(4,3,'AAD',2.4848140455382644598e-01,66.046875,89997.0,4);
CREATE TABLE trade_plan (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	sequence BIGINT NOT NULL, 
	side TEXT NOT NULL, 
	qty TEXT, 
	notional TEXT, 
	price TEXT, 
	current_value FLOAT, 
	target_value FLOAT NOT NULL, 
	current_weight FLOAT, 
	target_weight FLOAT NOT NULL, 
	drift FLOAT, 
	exit BOOLEAN NOT NULL, 
	reason TEXT, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "trade_plan" VALUES(5,0,'AAA',1,'buy',NULL,'25088.97','20.5',0.0,2.50889798957557250114e+04,0.0,2.50889798957557252911e-01,2.50889798957557252911e-01,0,NULL);
INSERT INTO "trade_plan" VALUES(5,1,'AAB',2,'buy',NULL,'24987.99','21.5',0.0,2.4987993298585217416e+04,0.0,2.49879932985852148963e-01,2.49879932985852148963e-01,0,NULL);
INSERT INTO "trade_plan" VALUES(5,2,'AAC',3,'buy',NULL,'24887.00','22.5',0.0,2.48870067014147025477e+04,0.0,2.48870067014147017259e-01,2.48870067014147017259e-01,0,NULL);
INSERT INTO "trade_plan" VALUES(5,3,'AAD',4,'buy',NULL,'24786.02','23.5',0.0,2.47860201042441876772e+04,0.0,2.47860201042441885554e-01,2.47860201042441885554e-01,0,NULL);
CREATE TABLE tuning (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	trial BIGINT NOT NULL, 
	setting TEXT NOT NULL, 
	studies BIGINT NOT NULL, 
	sharpe FLOAT, 
	returns TEXT NOT NULL, 
	PRIMARY KEY (snapshot_id, position)
);
CREATE TABLE universe (
	snapshot_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	name TEXT, 
	exchange TEXT NOT NULL, 
	market_cap_musd FLOAT NOT NULL, 
	shares_outstanding_m FLOAT NOT NULL, 
	price FLOAT NOT NULL, 
	traded_value_musd FLOAT, 
	rank BIGINT NOT NULL, industry TEXT, 
	PRIMARY KEY (snapshot_id, position)
);
INSERT INTO "universe" VALUES(2,0,'AAA','AAA Corp','NYSE',90000.0,4.39024390243902416829e+03,20.5,20.5,1,NULL);
INSERT INTO "universe" VALUES(2,1,'AAB','AAB Corp','NYSE',89999.0,4186.0,21.5,21.5,2,NULL);
INSERT INTO "universe" VALUES(2,2,'AAC','AAC Corp','NYSE',89998.0,3.99991111111111104035e+03,22.5,22.5,3,NULL);
INSERT INTO "universe" VALUES(2,3,'AAD','AAD Corp','NYSE',89997.0,3.82965957446808488388e+03,23.5,23.5,4,NULL);
INSERT INTO "universe" VALUES(2,4,'AAE','AAE Corp','NYSE',89996.0,3.67330612244897974959e+03,24.5,24.5,5,NULL);
INSERT INTO "universe" VALUES(2,5,'AAF','AAF Corp','NYSE',89995.0,3.52921568627450960779e+03,25.5,25.5,6,NULL);
INSERT INTO "universe" VALUES(2,6,'AAG','AAG Corp','NYSE',89994.0,3396.0,26.5,26.5,7,NULL);
INSERT INTO "universe" VALUES(2,7,'AAH','AAH Corp','NYSE',89993.0,3.27247272727272729762e+03,27.5,27.5,8,NULL);
CREATE INDEX snapshots_by_asset ON snapshots (asset, partition, as_of);
CREATE INDEX fills_by_account ON fills (account, at);
CREATE INDEX ix_equity_marks_account ON equity_marks (account);
CREATE INDEX audit_by_kind ON audit (kind, seq);
CREATE INDEX audit_by_week ON audit (week, seq);
CREATE INDEX orders_by_week ON orders_ledger (account, week);
CREATE INDEX orders_by_period ON orders_ledger (account, sleeve, period);
CREATE INDEX snapshots_by_age ON snapshots (asset, as_of, id);
CREATE INDEX fills_by_order ON fills (account, broker_order_id);
COMMIT;
