Pod::Spec.new do |s|
  s.name = '@{Module}'
  s.version = '1.0.0'
  s.summary = '@{summary}'
  s.homepage = 'https://example.invalid/@{Module}'
  s.license = { :type => 'Proprietary', :text => 'The licence of the model.' }
  s.author = 'The owner of the model'
  s.source = { :path => '.' }

  s.ios.deployment_target = '12.0'
  s.swift_version = '5.9'
  # TensorFlow Lite comes as static frameworks.
  s.static_framework = true

  s.source_files = 'Sources/@{Module}/**/*.swift'
  s.resource_bundles = { '@{Module}' => ['Sources/@{Module}/Resources/@{File}'] }
  s.dependency 'TensorFlowLiteSwift/Metal', '~> @{tflite}'

  s.test_spec 'Tests' do |tests|
    # An app to run in: without one no test runs on a phone.
    tests.requires_app_host = true
    tests.source_files = 'Tests/@{Module}Tests/*.swift'@{testResources}
  end
end
