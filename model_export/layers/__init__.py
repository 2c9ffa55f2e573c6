"""The layers that can be exported, one rule for each Keras class.

To support another layer, write its rule and list it here; the tests then hold it against Keras.
"""

from __future__ import annotations

import keras

from model_export.layers.activation import (
    ActivationRule,
    EluRule,
    LeakyReluRule,
    PReluRule,
    ReluRule,
    SoftmaxRule,
)
from model_export.layers.base import LayerRule
from model_export.layers.batch_norm import BatchNormalizationRule
from model_export.layers.bidirectional import BidirectionalRule
from model_export.layers.embedding import EmbeddingRule
from model_export.layers.group_norm import GroupNormalizationRule
from model_export.layers.layer_norm import LayerNormalizationRule
from model_export.layers.linear import Conv2DRule, DenseRule, DepthwiseConv2DRule
from model_export.layers.merging import (
    AddRule,
    AverageRule,
    ConcatenateRule,
    MaximumRule,
    MinimumRule,
    MultiplyRule,
    SubtractRule,
)
from model_export.layers.pooling import (
    GlobalAveragePooling2DRule,
    GlobalMaxPooling2DRule,
    PoolingRule,
)
from model_export.layers.recurrent import GruRule, LstmRule, RecurrentRule, SimpleRnnRule
from model_export.layers.separable import SeparableConv2DRule
from model_export.layers.sequence import Conv1DRule, OverRowRule, Pooling1DRule, ZeroPadding1DRule
from model_export.layers.shaping import (
    Cropping2DRule,
    DropoutRule,
    PermuteRule,
    RescalingRule,
    ReshapeRule,
    ZeroPadding2DRule,
)
from model_export.layers.upsampling import UpSampling1DRule, UpSampling2DRule
from model_export.ops.pooling import average_pool, max_pool

__all__ = ["RULES"]

_RECURRENT: dict[type, RecurrentRule] = {
    keras.layers.GRU: GruRule(),
    keras.layers.LSTM: LstmRule(),
    keras.layers.SimpleRNN: SimpleRnnRule(),
}

RULES: dict[type, LayerRule] = {
    keras.layers.Activation: ActivationRule(),
    keras.layers.Add: AddRule(),
    keras.layers.Average: AverageRule(),
    keras.layers.AveragePooling1D: Pooling1DRule(average_pool),
    keras.layers.AveragePooling2D: PoolingRule(average_pool),
    keras.layers.BatchNormalization: BatchNormalizationRule(),
    keras.layers.Bidirectional: BidirectionalRule(_RECURRENT),
    keras.layers.Concatenate: ConcatenateRule(),
    keras.layers.Conv1D: Conv1DRule(),
    keras.layers.Conv2D: Conv2DRule(),
    keras.layers.Cropping2D: Cropping2DRule(),
    keras.layers.Dense: DenseRule(),
    keras.layers.DepthwiseConv2D: DepthwiseConv2DRule(),
    keras.layers.Dropout: DropoutRule(),
    keras.layers.ELU: EluRule(),
    keras.layers.Embedding: EmbeddingRule(),
    keras.layers.Flatten: ReshapeRule(),
    **_RECURRENT,
    keras.layers.GlobalAveragePooling1D: OverRowRule(GlobalAveragePooling2DRule()),
    keras.layers.GlobalAveragePooling2D: GlobalAveragePooling2DRule(),
    keras.layers.GlobalMaxPooling1D: OverRowRule(GlobalMaxPooling2DRule()),
    keras.layers.GlobalMaxPooling2D: GlobalMaxPooling2DRule(),
    keras.layers.GroupNormalization: GroupNormalizationRule(),
    keras.layers.LayerNormalization: LayerNormalizationRule(),
    keras.layers.LeakyReLU: LeakyReluRule(),
    keras.layers.MaxPooling1D: Pooling1DRule(max_pool),
    keras.layers.MaxPooling2D: PoolingRule(max_pool),
    keras.layers.Maximum: MaximumRule(),
    keras.layers.Minimum: MinimumRule(),
    keras.layers.Multiply: MultiplyRule(),
    keras.layers.PReLU: PReluRule(),
    keras.layers.Permute: PermuteRule(),
    keras.layers.ReLU: ReluRule(),
    keras.layers.Rescaling: RescalingRule(),
    keras.layers.Reshape: ReshapeRule(),
    keras.layers.SeparableConv2D: SeparableConv2DRule(),
    keras.layers.Softmax: SoftmaxRule(),
    keras.layers.Subtract: SubtractRule(),
    keras.layers.UpSampling1D: UpSampling1DRule(),
    keras.layers.UpSampling2D: UpSampling2DRule(),
    keras.layers.ZeroPadding1D: ZeroPadding1DRule(),
    keras.layers.ZeroPadding2D: ZeroPadding2DRule(),
}
