package org.pocketfleet.training;

/** How to train for one round. */
public final class FitOptions {
  private final int epochs;
  private final double learningRate;
  private final String cut;
  private final double mu;
  private final long seed;
  private final double cutoffSeconds;
  private final int maxSteps;
  private final int steps;
  private final boolean cacheFeatures;

  private FitOptions(Builder builder) {
    this.epochs = builder.epochs;
    this.learningRate = builder.learningRate;
    this.cut = builder.cut;
    this.mu = builder.mu;
    this.seed = builder.seed;
    this.cutoffSeconds = builder.cutoffSeconds;
    this.maxSteps = builder.maxSteps;
    this.steps = builder.steps;
    this.cacheFeatures = builder.cacheFeatures;
  }

  /**
   * Begins options.
   *
   * @param epochs local epochs E
   * @param learningRate of every step
   */
  public static Builder of(int epochs, double learningRate) {
    return new Builder(epochs, learningRate);
  }

  /** Local epochs E. */
  public int epochs() {
    return epochs;
  }

  /** Learning rate of every step. */
  public double learningRate() {
    return learningRate;
  }

  /** Train only from this layer on; empty: all that the bundle trains. */
  public String cut() {
    return cut;
  }

  /** FedProx's μ; 0: none. */
  public double mu() {
    return mu;
  }

  /** Natural number; decides the order of the samples and the dropout masks. */
  public long seed() {
    return seed;
  }

  /** Seconds from the start of training after which no step may end; 0: none. */
  public double cutoffSeconds() {
    return cutoffSeconds;
  }

  /** Most steps, whatever the epochs; 0: no limit. */
  public int maxSteps() {
    return maxSteps;
  }

  /** So many steps instead, however many epochs they are; 0: the epochs decide. */
  public int steps() {
    return steps;
  }

  /** Whether the features of a frozen base are computed once and kept. */
  public boolean cacheFeatures() {
    return cacheFeatures;
  }

  /** Collects options. */
  public static final class Builder {
    private final int epochs;
    private final double learningRate;
    private String cut = "";
    private double mu;
    private long seed;
    private double cutoffSeconds;
    private int maxSteps;
    private int steps;
    private boolean cacheFeatures = true;

    private Builder(int epochs, double learningRate) {
      this.epochs = epochs;
      this.learningRate = learningRate;
    }

    /** Sets {@link FitOptions#cut()}. */
    public Builder cut(String value) {
      cut = value;
      return this;
    }

    /** Sets {@link FitOptions#mu()}. */
    public Builder mu(double value) {
      mu = value;
      return this;
    }

    /** Sets {@link FitOptions#seed()}. */
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /** Sets {@link FitOptions#cutoffSeconds()}. */
    public Builder cutoffSeconds(double value) {
      cutoffSeconds = value;
      return this;
    }

    /** Sets {@link FitOptions#maxSteps()}. */
    public Builder maxSteps(int value) {
      maxSteps = value;
      return this;
    }

    /** Sets {@link FitOptions#steps()}. */
    public Builder steps(int value) {
      steps = value;
      return this;
    }

    /** Sets {@link FitOptions#cacheFeatures()}. */
    public Builder cacheFeatures(boolean value) {
      cacheFeatures = value;
      return this;
    }

    /** Makes the options. */
    public FitOptions build() {
      return new FitOptions(this);
    }
  }
}
