import Testing
import Training

@Suite struct ScheduleTests {
  @Test func theRateRisesThenFalls() {
    var settings = TrainingSettings(steps: 100)
    settings.learningRate = 1
    let rates = LearningRateSchedule(settings: settings)
    #expect((0..<10).map { rates.rate(step: $0) } == (1...10).map { Double($0) / 10 })
    #expect(rates.rate(step: 10) == 1)
    #expect(abs(rates.rate(step: 55) - 0.5) < 1e-12)
    #expect(rates.rate(step: 99) > 0 && rates.rate(step: 99) < 1e-3)
    settings.schedule = .constant
    settings.warmup = .steps(4)
    let constant = LearningRateSchedule(settings: settings)
    #expect(constant.rate(step: 0) == 0.25)
    #expect(constant.rate(step: 4) == 1 && constant.rate(step: 5000) == 1)
  }

  @Test func shortRunsHaveAFullStep() {
    for steps in 1...3 {
      var settings = TrainingSettings(steps: steps)
      settings.learningRate = 1
      #expect(LearningRateSchedule(settings: settings).rate(step: 0) == 1)
    }
  }

  @Test func warmUpIsReadAsPeopleWriteIt() {
    #expect(Warmup(text: "10%") == .percent(10))
    #expect(Warmup(text: "2.5%") == .percent(2.5))
    #expect(Warmup(text: "20") == .steps(20))
    #expect(Warmup(text: "0") == .steps(0))
    for text in ["", "%", "-1", "101%", "1.5", "ten", "nan%"] {
      #expect(Warmup(text: text) == nil, "\(text)")
    }
    #expect("\(Warmup.percent(10))" == "10%" && "\(Warmup.percent(2.5))" == "2.5%")
  }
}

@Suite struct OptimiserTests {
  /// Against the textbook formula in double precision, step by step.
  @Test func updatesFollowTheFormula() {
    // Eleven: a full vector of eight and what is left over.
    let count = 11
    var values = (0..<count).map { Float($0) / 2 - 2 }
    var optimiser = AdamW(count: count)
    var wanted = values.map { Double($0) }
    var first = [Double](repeating: 0, count: count)
    var second = first
    var (decay1, decay2) = (1.0, 1.0)
    for step in 1...50 {
      let gradient = (0..<count).map { Float(($0 + 1) * (step % 7) - 5) / 4 }
      optimiser.update(&values, gradient: gradient, gradientScale: 0.5, learningRate: 0.01)
      (decay1, decay2) = (decay1 * 0.9, decay2 * 0.999)
      for index in 0..<count {
        let slope = Double(gradient[index]) * 0.5
        first[index] = 0.9 * first[index] + 0.1 * slope
        second[index] = 0.999 * second[index] + 0.001 * slope * slope
        wanted[index] -=
          0.01 * (first[index] / (1 - decay1))
          / ((second[index] / (1 - decay2)).squareRoot() + 1e-8)
      }
    }
    for index in 0..<count { #expect(abs(Double(values[index]) - wanted[index]) < 1e-5) }
    #expect(optimiser.step == 50)
  }
}

@Suite struct ProgressTextTests {
  @Test func aLineTellsWhatAPersonWantsToKnow() {
    var text = ProgressText(steps: 200)
    _ = text.line(report(step: 1, loss: 3))
    #expect(
      text.line(report(step: 2, loss: 2))
        == "step   2/200  loss 2.0000 (mean 2.9000)  lr 2.0e-4  1024 tokens/s  6 min 36 s left")
  }

  @Test func numbersAreWrittenPlainly() {
    #expect(fixed(3.14159, 2) == "3.14" && fixed(-0.004, 2) == "0.00" && fixed(9.999, 1) == "10.0")
    #expect(fixed(-1.5, 1) == "-1.5" && fixed(7, 0) == "7" && fixed(.nan, 2) == "nan")
    #expect(scientific(0.0002) == "2.0e-4" && scientific(1) == "1.0e0" && scientific(0) == "0.0")
    #expect(duration(40) == "40 s" && duration(200) == "3 min 20 s")
    #expect(duration(7500) == "2 h 05 min")
  }

  private func report(step: Int, loss: Double) -> StepReport {
    StepReport(
      step: step, loss: loss, learningRate: 2e-4, gradientNorm: 1, tokens: 2048, seconds: 2)
  }
}
