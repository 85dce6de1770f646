// A training run writes its scaling into its settings. Apart from the layout, which also compiles
// where nothing can be coded.
extension AdapterLayout.Scaling: Codable {}
