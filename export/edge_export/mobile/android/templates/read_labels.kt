private fun readLabels(assets: AssetManager): List<String> =
    assets.open(@{file}).bufferedReader().useLines { it.toList() }
