"""The message fields that the service knows.

A shape is a table of field names in camelCase; the service takes snake_case too. What is free by
its nature (a function's arguments, a JSON schema) is `FREE`; a tuple lists an enum's values. The
`PLAIN` shapes are the small, most usual part: they hold nothing that is free.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from orchestrator.domain.batches import Kind

Shape: TypeAlias = Mapping[str, Any]

FREE = Any
BLOB = {"mimeType": str, "data": str, "displayName": str}
FILE = {"mimeType": str, "fileUri": str, "displayName": str}
TEXT_PART = {"text": str}
PART = {
    **TEXT_PART,
    "inlineData": BLOB,
    "fileData": FILE,
    "thought": bool,
    "thoughtSignature": str,
    "functionCall": {
        "id": str,
        "name": str,
        "args": FREE,
        "partialArgs": FREE,
        "willContinue": bool,
    },
    "functionResponse": {
        "id": str,
        "name": str,
        "response": FREE,
        "parts": FREE,
        "willContinue": bool,
        "scheduling": str,
    },
    "executableCode": {"id": str, "language": ("LANGUAGE_UNSPECIFIED", "PYTHON"), "code": str},
    "codeExecutionResult": {"id": str, "outcome": str, "output": str},
    "toolCall": {"id": str, "toolType": str, "args": FREE},
    "toolResponse": {"id": str, "toolType": str, "response": FREE},
    "videoMetadata": {"startOffset": str, "endOffset": str, "fps": float, "contentLayers": FREE},
    "mediaResolution": FREE,
    "mediaProcessing": FREE,
    "partMetadata": FREE,
    "audioTranscription": FREE,
    "speechMetadata": FREE,
    "documentMetadata": FREE,
    "spreadsheetMetadata": FREE,
    "audioMetadata": FREE,
}
ROLES = ("user", "model", "function")
HARMS = tuple(
    "HARM_CATEGORY_" + harm
    for harm in [
        "UNSPECIFIED",
        "HARASSMENT",
        "HATE_SPEECH",
        "SEXUALLY_EXPLICIT",
        "DANGEROUS_CONTENT",
        "CIVIC_INTEGRITY",
        "JAILBREAK",
        "IMAGE_HATE",
        "IMAGE_DANGEROUS_CONTENT",
        "IMAGE_HARASSMENT",
        "IMAGE_SEXUALLY_EXPLICIT",
        "DEROGATORY",
        "TOXICITY",
        "VIOLENCE",
        "SEXUAL",
        "MEDICAL",
        "DANGEROUS",
    ]
)
THRESHOLDS = (
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
)
PLAIN_CONFIG = {
    "temperature": float,
    "topP": float,
    "topK": float,
    "candidateCount": int,
    "maxOutputTokens": int,
    "stopSequences": [str],
    "seed": int,
    "presencePenalty": float,
    "frequencyPenalty": float,
    "responseMimeType": str,
    "thinkingConfig": {
        "includeThoughts": bool,
        "thinkingBudget": int,
        "thinkingLevel": (
            "THINKING_LEVEL_UNSPECIFIED",
            "MINIMAL",
            "LOW",
            "MEDIUM",
            "HIGH",
            "XHIGH",
            "minimal",
            "low",
            "medium",
            "high",
        ),
    },
}
GENERATION_CONFIG = {
    **PLAIN_CONFIG,
    "responseModalities": [("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO")],
    "responseSchema": FREE,
    "responseJsonSchema": FREE,
    "_responseJsonSchema": FREE,
    "responseFormat": FREE,
    "responseLogprobs": bool,
    "logprobs": int,
    "enableEnhancedCivicAnswers": bool,
    "enableAffectiveDialog": bool,
    "audioTimestamp": bool,
    "speechConfig": FREE,
    "imageConfig": FREE,
    "translationConfig": FREE,
    "audioTranscriptionConfig": FREE,
    "modelSelectionConfig": FREE,
    "routingConfig": FREE,
    "mediaResolution": (
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
        "MEDIA_RESOLUTION_ULTRA_HIGH",
    ),
}
TOOL = {
    "functionDeclarations": [
        {
            "name": str,
            "description": str,
            "behavior": str,
            "parameters": FREE,
            "parametersJsonSchema": FREE,
            "response": FREE,
            "responseJsonSchema": FREE,
        }
    ],
    **dict.fromkeys(
        [
            "googleSearch",
            "googleSearchRetrieval",
            "googleMaps",
            "codeExecution",
            "urlContext",
            "computerUse",
            "fileSearch",
            "retrieval",
            "enterpriseWebSearch",
            "parallelAiSearch",
            "exaAiSearch",
            "mcpServers",
        ],
        FREE,
    ),
}
PLAIN_GENERATE: Shape = {
    "contents": [{"role": ROLES, "parts": [TEXT_PART]}],
    "systemInstruction": {"role": str, "parts": [TEXT_PART]},
    "generationConfig": PLAIN_CONFIG,
    "cachedContent": str,
}
GENERATE: Shape = {
    "contents": [{"role": ROLES, "parts": [PART]}],
    "systemInstruction": {"role": str, "parts": [PART]},
    "generationConfig": GENERATION_CONFIG,
    "tools": [TOOL],
    "toolConfig": {
        "functionCallingConfig": {
            "mode": ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"),
            "allowedFunctionNames": [str],
            "streamFunctionCallArguments": bool,
        },
        "retrievalConfig": FREE,
        "includeServerSideToolInvocations": bool,
    },
    "safetySettings": [{"category": HARMS, "threshold": THRESHOLDS, "method": str}],
    "cachedContent": str,
    "serviceTier": str,
    "store": bool,
    "labels": FREE,
}
EMBED_CONFIG = {
    "taskType": (
        "TASK_TYPE_UNSPECIFIED",
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
        "SEMANTIC_SIMILARITY",
        "CLASSIFICATION",
        "CLUSTERING",
        "QUESTION_ANSWERING",
        "FACT_VERIFICATION",
        "CODE_RETRIEVAL_QUERY",
    ),
    "title": str,
    "outputDimensionality": int,
}
PLAIN_EMBED: Shape = {"content": {"role": str, "parts": [TEXT_PART]}, **EMBED_CONFIG}
EMBED: Shape = {
    "content": {"role": str, "parts": [PART]},
    **EMBED_CONFIG,
    "embedContentConfig": {
        **EMBED_CONFIG,
        "autoTruncate": bool,
        "documentOcr": bool,
        "audioTrackExtraction": bool,
    },
}
SHAPES: Mapping[Kind, Shape] = {"generate": GENERATE, "embed": EMBED}
PLAIN: Mapping[Kind, Shape] = {"generate": PLAIN_GENERATE, "embed": PLAIN_EMBED}
CONTENTS: Mapping[Kind, str] = {"generate": "contents", "embed": "content"}
